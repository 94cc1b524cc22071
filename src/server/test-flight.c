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

#define N_SERVERS 4u
#define N_IN_EACH 32u

/* The clients of a server. */
typedef struct Crowd {
    State state;
    uint64_t connected[BITMAP_WORDS(N_CLIENTS)];
    Client clients[N_CLIENTS];
    int theirs[N_CLIENTS];
    Flight flight;
    unsigned n;
} Crowd;

static Crowd crowds[N_SERVERS];

static void limit(FlightBudget *budget)
{
    budget->asked = budget->limited = true;
    budget->allowance = ALLOWANCE;
}

static void begin(Crowd *crowd)
{
    *crowd = (Crowd){.n = 0};
    crowd->state =
        (State){.clients = crowd->clients, .connected = crowd->connected, .max_clients = N_CLIENTS};
    assert_int_equal(flight_init(&crowd->flight, &crowd->state), 0);
    limit(crowd->flight.budget);
}

static int tear_down(void **data)
{
    (void)data;
    for (unsigned k = 0; k < N_SERVERS; k++) {
        flight_leave(&crowds[k].flight);
        for (unsigned i = 0; i < crowds[k].n; i++) {
            fd_close(crowds[k].clients[i].sock_fd);
            fd_close(crowds[k].theirs[i]);
        }
        crowds[k].n = 0;
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

/* Somebody comes, and is sent the first three messages, of which one has a descriptor. */
static void come(Crowd *crowd)
{
    unsigned i = crowd->n++;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    crowd->clients[i].sock_fd = pair[0];
    crowd->theirs[i] = pair[1];
    bitmap_set(crowd->connected, i);
    flight_join(&crowd->flight, &crowd->clients[i]);
    assert_int_equal(send_messages(crowd, i, CLIENT_HELLOS), CLIENT_HELLOS);
    flight_count(&crowd->flight, -2);
    crowd->clients[i].unread -= 2;
}

static int set_up(void **data)
{
    begin(&crowds[0]);
    while (crowds[0].n < N_CLIENTS)
        come(&crowds[0]);
    *data = &crowds[0];
    return 0;
}

/* With nobody there. */
static int set_up_empty(void **data)
{
    begin(&crowds[0]);
    *data = &crowds[0];
    return 0;
}

/* Sends the client as much as it may have now, and gives how much that is. */
static uint32_t serve(Crowd *crowd, unsigned i)
{
    Client *client = &crowd->clients[i];
    uint32_t window = flight_window(&crowd->flight, client);

    return send_messages(crowd, i, flight_widen(&crowd->flight, client, window));
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
        for (unsigned i = first; i < crowd->n; i++)
            sent += serve(crowd, i);
    } while (sent > 0);
}

/* Each comes when those before it have all that they may. */
static void test_who_comes_later_has_room(void **data)
{
    Crowd *crowd = *data;

    while (crowd->n < N_CLIENTS) {
        come(crowd);
        fill(crowd, 0);
        assert_true(crowd->flight.budget->unread < ALLOWANCE);
    }
    for (unsigned i = 0; i < N_CLIENTS; i++)
        assert_true(crowd->clients[i].unread >= 2);
}

static void test_who_does_not_read_leaves_a_sixth(void **data)
{
    Crowd *crowd = *data;

    fill(crowd, 0);
    assert_in_range(crowd->flight.budget->unread, ALLOWANCE / 2, ALLOWANCE * 5 / 6);
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
        assert_true(crowd->flight.budget->unread <= ALLOWANCE * 5 / 6);
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
        assert_true(crowd->flight.budget->unread >= ALLOWANCE / 2);
        read_all(crowd, 0);
        assert_int_equal(serve(crowd, 0), BATCH);
    }
}

/* As long as little is on its way, nobody is asked how much he has read. */
static void test_few_are_not_asked(void **data)
{
    Crowd *crowd = *data;
    uint32_t sent = 0;

    while (crowd->flight.budget->unread < ALLOWANCE / 4) {
        sent += serve(crowd, 0);
        read_all(crowd, 0);
    }
    assert_int_equal(crowd->flight.budget->unread, N_CLIENTS + sent);
    assert_true(serve(crowd, 0) > 0);
    assert_int_equal(crowd->flight.budget->unread, N_CLIENTS - 1 + crowd->clients[0].unread);
    assert_true(crowd->clients[0].unread <= BATCH);
}

/* Each reads a batch before it never reads again, while others have used up what there is. */
static void test_who_stops_reading_wins_little(void **data)
{
    Crowd *crowd = *data;

    fill(crowd, 250);
    for (unsigned i = 0; i < 250; i++) {
        (void)serve(crowd, i);
        read_all(crowd, i);
        (void)serve(crowd, i);
        assert_true(crowd->flight.budget->unread < ALLOWANCE);
    }
    fill(crowd, 0);
    assert_true(crowd->flight.budget->unread < ALLOWANCE);
}

/* Though nothing more is sent to those who have read it. */
static void test_what_others_have_read_counts(void **data)
{
    Crowd *crowd = *data;
    unsigned i = 0;

    while (crowd->flight.budget->unread < ALLOWANCE / 2) {
        (void)send_messages(crowd, i, 16);
        read_all(crowd, i++);
    }
    for (unsigned round = 0; round < 100; round++) {
        read_all(crowd, N_CLIENTS - 1);
        assert_true(serve(crowd, N_CLIENTS - 1) >= BATCH / 2);
    }
    assert_true(crowd->flight.budget->unread < ALLOWANCE / 2 + BATCH);
}

static void begin_all(FlightBudget *budget)
{
    for (unsigned k = 0; k < N_SERVERS; k++) {
        begin(&crowds[k]);
        flight_share(&crowds[k].flight, budget);
    }
    limit(budget);
}

/* What the clients of all servers have not read stays below the limit, one server after another. */
static void test_servers_share(void **data)
{
    static FlightBudget budget;
    uint32_t sent = 0;

    (void)data;
    begin_all(&budget);
    for (unsigned k = 0; k < N_SERVERS; k++) {
        while (crowds[k].n < N_IN_EACH)
            come(&crowds[k]);
        fill(&crowds[k], 0);
        assert_true(budget.unread < ALLOWANCE);
    }
    for (unsigned k = 0; k < N_SERVERS; k++) { /* and who reads goes on */
        read_all(&crowds[k], 0);
        assert_true(serve(&crowds[k], 0) >= 2);
    }
    for (unsigned k = 0; k < N_SERVERS; k++) /* nor does it slow others down when all is read */
        for (unsigned i = 0; i < N_IN_EACH; i++)
            read_all(&crowds[k], i);
    for (unsigned round = 0; round < 100; round++) {
        read_all(&crowds[1], 1);
        sent = serve(&crowds[1], 1);
    }
    assert_int_equal(sent, BATCH);
}

/* A server takes along what its clients have not read, and leaves nothing. */
static void test_servers_come_and_go(void **data)
{
    static FlightBudget budget;

    (void)data;
    begin(&crowds[3]);
    come(&crowds[3]);
    come(&crowds[3]);
    assert_int_equal(send_messages(&crowds[3], 0, 10), 10);
    flight_count(&crowds[3].flight, 5); /* of one that lingers */
    flight_share(&crowds[3].flight, &budget);
    assert_int_equal(budget.allowance, ALLOWANCE);
    assert_int_equal(budget.unread, 2 + 10 + 5);
    assert_int_equal(budget.n_clients, 2);
    flight_forget(&crowds[3].flight, &crowds[3].clients[0]);
    assert_int_equal(budget.unread, 1 + 5);
    begin(&crowds[1]);
    flight_share(&crowds[1].flight, &budget);
    come(&crowds[1]);
    assert_int_equal(budget.n_clients, 2);
    flight_leave(&crowds[3].flight);
    assert_int_equal(budget.unread, 1);
    assert_int_equal(budget.n_clients, 1);
    flight_leave(&crowds[1].flight);
    assert_int_equal(budget.unread, 0);
    assert_null(budget.users);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_does_not_read_leaves_a_sixth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_comes_later_has_room, set_up_empty, tear_down),
        cmocka_unit_test_setup_teardown(test_who_stops_reading_wins_little, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_others_have_read_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_servers_share, NULL, tear_down),
        cmocka_unit_test_setup_teardown(test_servers_come_and_go, NULL, tear_down),
        cmocka_unit_test_setup_teardown(test_who_reads_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_had_a_batch_has_it_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_few_are_not_asked, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
