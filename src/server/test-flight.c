/* SPDX-License-Identifier: MIT */
/* How many descriptors clients may have unread, by those who read and those who do not. */
#include "server/flight.h"
#include "util/cleanup.h"
#include "util/testing.h"

#include <sys/socket.h>
#include <unistd.h>

#define ALLOWANCE 4096u
#define N_CLIENTS 500u
#define BATCH     ((uint32_t)FDPASS_BATCH_MAX)

typedef struct Crowd {
    StateHeader header;
    State state;
    Client clients[N_CLIENTS];
    int theirs[N_CLIENTS];
    Flight flight;
} Crowd;

static int set_up(void **data)
{
    static Crowd crowd;

    crowd = (Crowd){.header.n_clients = N_CLIENTS};
    crowd.state = (State){.header = &crowd.header, .clients = crowd.clients};
    assert_int_equal(flight_init(&crowd.flight), 0);
    crowd.flight.asked = crowd.flight.limited = true;
    crowd.flight.allowance = ALLOWANCE;
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        crowd.clients[i].sock_fd = pair[0];
        crowd.theirs[i] = pair[1];
    }
    *data = &crowd;
    return 0;
}

static int tear_down(void **data)
{
    const Crowd *crowd = *data;

    for (unsigned i = 0; i < N_CLIENTS; i++) {
        fd_close(crowd->clients[i].sock_fd);
        fd_close(crowd->theirs[i]);
    }
    return 0;
}

/* Gives how many the socket has taken. The messages carry no descriptors: it is them that are
 * counted. */
static uint32_t send_messages(Crowd *crowd, unsigned i, uint32_t n)
{
    static const uint8_t message[FDPASS_MESSAGE_SIZE];
    ssize_t result = sizeof(message);
    uint32_t sent = 0;

    while (sent < n && (result = fdpass_send(crowd->clients[i].sock_fd, message, sizeof(message),
                                             NULL, 0)) == sizeof(message))
        sent++;
    assert_true(sent == n || result == -EAGAIN);
    flight_sent(&crowd->flight, &crowd->clients[i], sent);
    return sent;
}

/* Sends the client as much as it may have now, and gives how much that is. */
static uint32_t serve(Crowd *crowd, unsigned i)
{
    return send_messages(crowd, i,
                         flight_window(&crowd->flight, &crowd->state, &crowd->clients[i]));
}

static void read_all(const Crowd *crowd, unsigned i)
{
    char bytes[4096];

    while (read(crowd->theirs[i], bytes, sizeof(bytes)) > 0)
        ;
}

/* Serves clients that never read, from number `first` on, until nobody gets any more. */
static void fill(Crowd *crowd, unsigned first)
{
    uint32_t sent;

    do {
        sent = 0;
        for (unsigned i = first; i < crowd->header.n_clients; i++)
            sent += serve(crowd, i);
    } while (sent > 0);
}

/* Each comes when those before it have all that they may. */
static void test_who_comes_later_has_room(void **data)
{
    Crowd *crowd = *data;

    for (uint32_t n = 1; n <= N_CLIENTS; n++) {
        crowd->header.n_clients = n;
        assert_int_equal(send_messages(crowd, n - 1, 1),
                         1); /* the memory: whatever the budget says */
        fill(crowd, 0);
        assert_true(crowd->flight.unread < ALLOWANCE);
    }
    for (unsigned i = 0; i < N_CLIENTS; i++)
        assert_true(crowd->clients[i].unread >= 2);
}

static void test_who_does_not_read_leaves_a_sixth(void **data)
{
    Crowd *crowd = *data;

    fill(crowd, 0);
    assert_in_range(crowd->flight.unread, ALLOWANCE / 2, ALLOWANCE * 5 / 6);
    for (unsigned i = 0; i < N_CLIENTS; i++)
        assert_true(crowd->clients[i].unread >= 2);
}

/* Beside them, whoever reads always gets something, and all together never more than that. */
static void test_who_reads_goes_on(void **data)
{
    Crowd *crowd = *data;

    fill(crowd, 10);
    for (unsigned round = 0; round < 1000; round++) {
        unsigned i = round % 10;

        read_all(crowd, i);
        assert_true(serve(crowd, i) >= 2);
        assert_true(crowd->flight.unread <= ALLOWANCE * 5 / 6);
    }
}

/* Whoever has read a whole batch gets another, though others have used up what there is. */
static void test_who_had_a_batch_has_it_again(void **data)
{
    Crowd *crowd = *data;

    while (crowd->clients[0].unread < BATCH)
        assert_true(serve(crowd, 0) > 0);
    fill(crowd, 1);
    for (unsigned round = 0; round < 10; round++) {
        assert_true(crowd->flight.unread >= ALLOWANCE / 2);
        read_all(crowd, 0);
        assert_int_equal(serve(crowd, 0), BATCH);
    }
}

/* As long as little is on its way, nobody is asked how much he has read. */
static void test_few_are_not_asked(void **data)
{
    Crowd *crowd = *data;
    uint32_t sent = 0;

    while (crowd->flight.unread < ALLOWANCE / 4) {
        sent += serve(crowd, 0);
        read_all(crowd, 0);
    }
    assert_int_equal(crowd->flight.unread, sent);
    assert_true(serve(crowd, 0) > 0);
    assert_int_equal(crowd->flight.unread, crowd->clients[0].unread);
    assert_true(crowd->clients[0].unread <= BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_does_not_read_leaves_a_sixth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_comes_later_has_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_reads_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_had_a_batch_has_it_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_few_are_not_asked, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
