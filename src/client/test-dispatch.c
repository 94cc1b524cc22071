/* SPDX-License-Identifier: MIT */
/* Doorbells both ways, callbacks, select(), and what is left when the server has gone. */
#include "client/fake-server.h"

#include <errno.h>
#include <syslog.h>

/* A client at the end of its set-up, with fake->event and another eventfd as its vectors. */
static void connect_with_vectors(Fake *fake, int second)
{
    ivshmem_client_set_vectors(&fake->client, 2);
    fake_connect(fake);
    fake_send(fake, 0, fake->event);
    fake_send(fake, 0, second);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), 0);
}

static uint64_t take(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void test_rung(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;
    _cleanup_close_ int second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    connect_with_vectors(fake, second);
    assert_int_equal(ivshmem_client_notify(client, &client->local, 1), 0);
    assert_int_equal(ivshmem_client_notify(client, &client->local, 1), 0);
    assert_int_equal(fake_dispatch(fake), 0);
    fake_expect(fake, "!1 ");
    assert_int_equal(ivshmem_client_dispatch(client), 0);
    fake_expect(fake, "");
    assert_int_equal(ivshmem_client_notify_all_vects(client, &client->local), 0);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_int_equal(strlen(fake->told), strlen("!0 !1 "));
}

/* An eventfd that counts down by one at each read is read until there is no more. */
static void test_semaphore(void **state)
{
    Fake *fake = *state;
    _cleanup_close_ int second = eventfd(5, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);

    connect_with_vectors(fake, second);
    fake_expect(fake, "");
    assert_int_equal(fake_dispatch(fake), 0);
    fake_expect(fake, "!1 ");
    assert_int_equal(take(second), 0);
}

static void test_ring_others(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;
    _cleanup_close_ int others = eventfd(0, EFD_CLOEXEC); /* blocking, as a bad server makes it */

    fake_connect(fake);
    fake_send(fake, 5, others);
    fake_send(fake, 5, others);
    fake_send(fake, 6, others);
    fake_send_vectors(fake, 0, 2);
    assert_int_equal(ivshmem_client_wait_ready(client, FAKE_WAIT_MS), 0);
    assert_int_equal(ivshmem_client_notify(client, ivshmem_client_search_peer(client, 5), 0), 0);
    assert_int_equal(take(others), 1);
    assert_int_equal(ivshmem_client_notify_all_vects(client, client->peer_list.first), 0);
    assert_int_equal(take(others), 2);
    assert_int_equal(ivshmem_client_notify_broadcast(client), 0);
    assert_int_equal(take(others), 3);
    assert_int_equal(take(fake->event), 0);
    assert_int_equal(ivshmem_client_notify(client, client->peer_list.first, 2), -ERANGE);
    assert_int_equal(ivshmem_client_notify(client, client->peer_list.first, UINT32_MAX), -ERANGE);
    assert_int_equal(ivshmem_client_notify(client, ivshmem_client_search_peer(client, 7), 0),
                     -ENOENT);
    assert_int_equal(ivshmem_client_notify_all_vects(client, NULL), -ENOENT);
}

/* A counter that is full: its owner has been rung, and nobody waits. */
static void test_full_counter(void **state)
{
    Fake *fake = *state;
    const uint64_t full = UINT64_MAX - 1;

    fake_connect(fake);
    fake_send_vectors(fake, 5, 1);
    fake_send_vectors(fake, 0, 1);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), 0);
    assert_int_equal(write(fake->event, &full, sizeof(full)), sizeof(full));
    assert_int_equal(ivshmem_client_notify(&fake->client, fake->client.peer_list.first, 0), 0);
}

/* Another holder of our eventfds makes them blocking: nobody waits, full or empty. */
static void test_made_blocking(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;
    const uint64_t full = UINT64_MAX - 1;
    _cleanup_close_ int second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    ivshmem_client_set_wary(client, true);
    connect_with_vectors(fake, second);
    assert_int_equal(write(fake->event, &full, sizeof(full)), sizeof(full));
    assert_int_equal(fcntl(fake->event, F_SETFL, 0), 0);
    assert_int_equal(ivshmem_client_notify(client, &client->local, 0), 0);
    assert_int_equal(fcntl(fake->event, F_SETFL, 0), 0);
    assert_int_equal(fake_dispatch(fake), 0);
    fake_expect(fake, "!0 ");
    assert_int_equal(fcntl(fake->event, F_SETFL, 0), 0);
    assert_int_equal(ivshmem_client_wait(client, 0, 0), -ETIMEDOUT);
}

/* Vectors that are always readable, and never rung: whoever waits is told, and does not spin. */
static void test_vectors_that_are_none(void **state)
{
    Fake *fake = *state;
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    _cleanup_close_ int folder = open("/", O_RDONLY | O_CLOEXEC);

    fake->client.notif_cb = NULL;
    ivshmem_client_set_vectors(&fake->client, 3);
    fake_connect(fake);
    fake_send(fake, 0, fake->event);
    fake_send(fake, 0, null);
    fake_send(fake, 0, folder);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), 0);
    assert_int_equal(ivshmem_client_wait(&fake->client, 0, 0), -ETIMEDOUT);
    assert_int_equal(ivshmem_client_wait(&fake->client, 1, -1), -EIO);
    assert_int_equal(ivshmem_client_wait(&fake->client, 2, -1), -EISDIR);
}

/* All that is wrong is tried and the first error is told. */
static void test_failing_doorbell(void **state)
{
    Fake *fake = *state;
    int no_writing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    fake_connect(fake);
    fake_send_vectors(fake, 5, 3);
    fake_send_vectors(fake, 0, 3);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), 0);
    assert_true(dup3(no_writing, fake->client.peer_list.first->vectors[1], O_CLOEXEC) >= 0);
    fd_close(no_writing);
    assert_int_equal(ivshmem_client_notify_broadcast(&fake->client), -EBADF);
    assert_int_equal(take(fake->event), 2);
}

static void test_wait(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;

    assert_int_equal(ivshmem_client_init(client, "unused", NULL, NULL, false), 0);
    ivshmem_client_set_vectors(client, 1);
    fake_connect(fake);
    fake_send_vectors(fake, 0, 1);
    assert_int_equal(ivshmem_client_wait_ready(client, FAKE_WAIT_MS), 0);
    assert_int_equal(ivshmem_client_wait(client, 0, 0), -ETIMEDOUT);
    assert_int_equal(ivshmem_client_wait(client, 0, 20), -ETIMEDOUT);
    assert_int_equal(ivshmem_client_wait(client, 1, 0), -ERANGE);
    assert_int_equal(ivshmem_client_notify(client, &client->local, 0), 0);
    assert_int_equal(ivshmem_client_dispatch(client), 0); /* does not take it */
    assert_int_equal(ivshmem_client_wait(client, 0, -1), 0);
    assert_int_equal(ivshmem_client_wait(client, 0, 0), -ETIMEDOUT);
}

static void test_select(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;
    fd_set fds;
    int maxfd = 0;

    FD_ZERO(&fds);
    ivshmem_client_get_fds(client, &fds, &maxfd);
    assert_int_equal(maxfd, 0);
    assert_int_equal(ivshmem_client_handle_fds(client, &fds, maxfd), -ENOTCONN);

    fake_connect(fake);
    fake_send_vectors(fake, 1, 1);
    fake_send_vectors(fake, 0, 1);
    ivshmem_client_get_fds(client, &fds, &maxfd);
    assert_int_equal(maxfd, ivshmem_client_get_fd(client) + 1);
    assert_int_equal(ivshmem_client_handle_fds(client, &fds, 0), 0);
    assert_int_equal(client->peer_list.count, 0);
    assert_int_equal(select(maxfd, &fds, NULL, NULL, NULL), 1);
    assert_int_equal(ivshmem_client_handle_fds(client, &fds, maxfd), 0);
    assert_int_equal(client->peer_list.count, 1);
    FD_ZERO(&fds);
    assert_int_equal(ivshmem_client_handle_fds(client, &fds, maxfd), 0);
    maxfd = FD_SETSIZE;
    ivshmem_client_get_fds(client, &fds, &maxfd);
    assert_int_equal(maxfd, FD_SETSIZE);
}

/* With every number that fits a set in use, the set and the memory after it stay as they are. */
static void test_select_too_small(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;
    struct {
        fd_set fds;
        fd_set after;
    } sets;
    fd_set empty;
    int filler[FD_SETSIZE], maxfd = 5;
    size_t n = 0;

    FD_ZERO(&empty);
    sets.fds = sets.after = empty;
    do {
        filler[n] = fcntl(fake->event, F_DUPFD_CLOEXEC, 0);
        assert_true(filler[n] >= 0);
    } while (filler[n++] < FD_SETSIZE - 1);
    fake_connect(fake);
    while (n > 0)
        fd_close(filler[--n]);
    ivshmem_client_get_fds(client, &sets.fds, &maxfd);
    assert_int_equal(maxfd, 5);
    assert_memory_equal(&sets.fds, &empty, sizeof(empty));
    assert_memory_equal(&sets.after, &empty, sizeof(empty));
    assert_int_equal(ivshmem_client_handle_fds(client, &sets.fds, FD_SETSIZE), -EMFILE);
    fake_send_vectors(fake, 0, 1);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_int_equal(client->local.vectors_count, 1);
}

static void close_on_ring(const IvshmemClient *client, const IvshmemClientPeer *peer,
                          unsigned vector, void *arg)
{
    Fake *fake = arg;

    fake_on_ring(client, peer, vector, arg);
    assert_int_equal(ivshmem_client_dispatch(&fake->client), -EBUSY);
    ivshmem_client_close(&fake->client);
    assert_int_equal(peer->vectors_count, 2);
}

static void test_close_in_callback(void **state)
{
    Fake *fake = *state;
    _cleanup_close_ int second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    assert_int_equal(ivshmem_client_init(&fake->client, "unused", close_on_ring, fake, false), 0);
    connect_with_vectors(fake, second);
    assert_int_equal(ivshmem_client_notify_all_vects(&fake->client, &fake->client.local), 0);
    assert_int_equal(fake_dispatch(fake), -ECANCELED);
    assert_int_equal(strlen(fake->told), strlen("!0 "));
    assert_int_equal(ivshmem_client_dispatch(&fake->client), -ENOTCONN);
}

static void close_on_connected(const IvshmemClient *client, const IvshmemClientPeer *peer,
                               void *arg)
{
    Fake *fake = arg;

    fake_on_connected(client, peer, arg);
    ivshmem_client_close(&fake->client);
}

static void test_close_in_peer_callback(void **state)
{
    Fake *fake = *state;

    ivshmem_client_set_peer_callbacks(&fake->client, close_on_connected, fake_on_left, fake);
    fake_connect(fake);
    fake_send_vectors(fake, 1, 1);
    fake_send_vectors(fake, 2, 1);
    fake_send(fake, 1, -1);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), -ECANCELED);
    fake_expect(fake, "+1:1 ");
}

/* The server goes; memory, peers and doorbells stay. */
static void test_server_goes(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;
    _cleanup_close_ int second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    void *memory;
    size_t size;

    connect_with_vectors(fake, second);
    fake_send_vectors(fake, 1, 2);
    fake_hang_up(fake);
    assert_int_equal(fake_dispatch(fake), -ECONNRESET);
    assert_int_equal(client->fault, IVSHMEM_CLIENT_FAULT_CLOSED);
    assert_string_equal(ivshmem_client_error(client), "the server has closed the connection");
    assert_int_equal(client->sock_fd, -1);
    fake_expect(fake, "+1:2 ");
    assert_int_equal(ivshmem_client_dispatch(client), 0);
    assert_int_equal(ivshmem_client_notify(client, ivshmem_client_search_peer(client, 1), 0), 0);
    assert_int_equal(fake_dispatch(fake), 0);
    fake_expect(fake, "!0 ");
    assert_int_equal(ivshmem_client_wait_ready(client, 0), 0);
    assert_int_equal(ivshmem_client_map(client, true, 0, &memory, &size), 0);
    assert_int_equal(munmap(memory, size), 0);
}

static void note_line(void *arg, int priority, const char *line)
{
    if (priority == LOG_ERR)
        fake_tell(arg, "[%s] ", line);
}

static void test_log(void **state)
{
    Fake *fake = *state;

    ivshmem_client_set_log(&fake->client, note_line, fake);
    fake_connect(fake);
    fake_expect(fake, "");
    fake_send(fake, 70000, fake->event);
    assert_int_equal(fake_dispatch(fake), -EPROTO);
    fake_expect(fake, "[the server named a peer ID that is not 0 to 65535 (message 70000 with a "
                      "descriptor)] ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rung, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_semaphore, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_ring_others, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_full_counter, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_made_blocking, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_vectors_that_are_none, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_failing_doorbell, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_wait, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_select, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_select_too_small, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_close_in_callback, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_close_in_peer_callback, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_server_goes, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_log, fake_setup, fake_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
