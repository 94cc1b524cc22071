/* SPDX-License-Identifier: MIT */
/*
 * A server that misbehaves, and connections that do not come about: each gives the named error and
 * leaks no descriptor (fake_teardown looks).
 */
#include "client/fake-server.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

typedef struct Message {
    int64_t value;
    bool has_fd;
} Message;

/* What a server sends until it hangs up. */
static const struct Case {
    IvshmemClientFault fault;
    size_t n;
    Message messages[8];
} cases[] = {
    {IVSHMEM_CLIENT_FAULT_CLOSED, 0, {{0}}},
    {IVSHMEM_CLIENT_FAULT_VERSION, 1, {{1, false}}},
    {IVSHMEM_CLIENT_FAULT_UNEXPECTED_FD, 1, {{0, true}}},
    {IVSHMEM_CLIENT_FAULT_CLOSED, 1, {{0, false}}},
    {IVSHMEM_CLIENT_FAULT_OWN_ID, 2, {{0, false}, {65536, false}}},
    {IVSHMEM_CLIENT_FAULT_UNEXPECTED_FD, 2, {{0, false}, {1, true}}},
    {IVSHMEM_CLIENT_FAULT_NOT_MEMORY, 3, {{0, false}, {1, false}, {1, true}}},
    {IVSHMEM_CLIENT_FAULT_MEMORY_WITHOUT_FD, 3, {{0, false}, {1, false}, {-1, false}}},
    {IVSHMEM_CLIENT_FAULT_CLOSED, 3, {{0, false}, {1, false}, {-1, true}}},
    {IVSHMEM_CLIENT_FAULT_MEMORY_AGAIN, 4, {{0, false}, {1, false}, {-1, true}, {-1, true}}},
    {IVSHMEM_CLIENT_FAULT_ID_RANGE, 4, {{0, false}, {1, false}, {-1, true}, {-2, true}}},
    {IVSHMEM_CLIENT_FAULT_OWN_DEPARTURE, 4, {{0, false}, {1, false}, {-1, true}, {1, false}}},
    {IVSHMEM_CLIENT_FAULT_UNKNOWN_DEPARTURE, 4, {{0, false}, {1, false}, {-1, true}, {2, false}}},
    {IVSHMEM_CLIENT_FAULT_UNKNOWN_DEPARTURE,
     6,
     {{0, false}, {1, false}, {-1, true}, {2, true}, {2, false}, {2, false}}},
};

/* Connects and dispatches until something fails; says what it returned. */
static int run_until_failure(Fake *fake)
{
    int r = ivshmem_client_connect_fd(&fake->client, fd_steal(&fake->client_sock), FAKE_WAIT_MS);

    return r < 0 ? r : ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS);
}

static void test_faults(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct Case *test = &cases[i];
        int expected = test->fault == IVSHMEM_CLIENT_FAULT_CLOSED ? -ECONNRESET : -EPROTO;
        Fake *fake;

        assert_int_equal(fake_setup(state), 0);
        fake = *state;
        for (size_t j = 0; j < test->n; j++)
            fake_send(fake, test->messages[j].value, test->messages[j].has_fd ? fake->memory : -1);
        fake_hang_up(fake);
        assert_int_equal(run_until_failure(fake), expected);
        assert_int_equal(fake->client.fault, test->fault);
        assert_int_equal(fake->client.sock_fd, -1);
        assert_true(strlen(ivshmem_client_error(&fake->client)) > 0);
        assert_int_equal(fake_teardown(state), 0);
    }
}

static void test_too_many_vectors(void **state)
{
    Fake *fake = *state;
    int r = 0;

    fake_connect(fake);
    for (unsigned i = 0; i <= IVSHMEM_CLIENT_MAX_VECTORS; i++) {
        assert_int_equal(r, 0);
        fake_send_vectors(fake, 1, 1);
        r = fake_dispatch(fake);
    }
    assert_int_equal(r, -EPROTO);
    assert_int_equal(fake->client.fault, IVSHMEM_CLIENT_FAULT_VECTORS);
}

/* At each byte, with a descriptor and without: of the first message, of the one with the memory,
 * and of one that comes later. */
static void test_cut_short(void **state)
{
    static const int64_t start[] = {0, 7, -1};
    const int64_t message = 5;

    for (ssize_t cut = 1; cut < (ssize_t)sizeof(message); cut++) {
        for (unsigned i = 0; i < 6; i++) {
            const size_t n_fds = i / 3;
            Fake *fake;

            assert_int_equal(fake_setup(state), 0);
            fake = *state;
            for (unsigned j = 0; j < i % 3 + (i % 3 == 2); j++)
                fake_send(fake, start[j], start[j] < 0 ? fake->memory : -1);
            assert_int_equal(fdpass_send(fake->sock, &message, (size_t)cut, &fake->event, n_fds),
                             cut);
            fake_hang_up(fake);
            assert_int_equal(run_until_failure(fake), -EPROTO);
            assert_int_equal(fake->client.fault, IVSHMEM_CLIENT_FAULT_CUT_SHORT);
            assert_int_equal(fake_teardown(state), 0);
        }
    }
}

static void test_two_fds(void **state)
{
    Fake *fake = *state;
    const int two[] = {fake->event, fake->event};

    fake_send_start(fake, 0);
    assert_int_equal(fdpass_send(fake->sock, "\1\0\0\0\0\0\0\0", 8, two, 2), 8);
    assert_int_equal(run_until_failure(fake), -EPROTO);
    assert_int_equal(fake->client.fault, IVSHMEM_CLIENT_FAULT_MANY_FDS);
}

static void test_two_fds_in_two_pieces(void **state)
{
    Fake *fake = *state;

    fake_send_start(fake, 0);
    assert_int_equal(fdpass_send(fake->sock, "\1\0\0\0", 4, &fake->event, 1), 4);
    assert_int_equal(fdpass_send(fake->sock, "\0\0\0\0", 4, &fake->event, 1), 4);
    assert_int_equal(run_until_failure(fake), -EPROTO);
    assert_int_equal(fake->client.fault, IVSHMEM_CLIENT_FAULT_MANY_FDS);
}

/* This process may open no more: it is not the server who is to blame. */
static void test_no_fd_left(void **state)
{
    Fake *fake = *state;
    struct rlimit limit, low;
    int r;

    fake_connect(fake);
    fake_send_vectors(fake, 1, 3);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)fcntl(fake->event, F_DUPFD_CLOEXEC, 0) + 1;
    fd_close((int)low.rlim_cur - 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    r = fake_dispatch(fake);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (r == 0 && fake->client.peer_list.first->vectors[2] >= (int)low.rlim_cur)
        skip(); /* valgrind keeps the limit from the kernel */
    assert_int_equal(r, -EMFILE);
    assert_int_equal(fake->client.fault, IVSHMEM_CLIENT_FAULT_NO_FD_LEFT);
    assert_int_equal(ivshmem_client_search_peer(&fake->client, 1)->vectors_count, 1);
}

static void test_own_vector_that_is_none(void **state)
{
    Fake *fake = *state;

    fake_send_start(fake, 0);
    fake_send(fake, 0, fake->memory); /* epoll cannot wait for a file */
    assert_int_equal(run_until_failure(fake), -EPERM);
    assert_int_equal(fake->client.fault, IVSHMEM_CLIENT_FAULT_SYSTEM);
}

static void test_silent_server(void **state)
{
    Fake *fake = *state;

    fake_send(fake, 0, -1);
    assert_int_equal(ivshmem_client_connect_fd(&fake->client, fd_steal(&fake->client_sock), 20),
                     -ETIMEDOUT);
    assert_int_equal(fake->client.sock_fd, -1);
}

/* A socket in a new folder, listening with the given backlog; its path is the client's. */
static int listen_at_path(Fake *fake, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/test-XXXXXX"};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_non_null(mkdtemp(address.sun_path));
    strcat(address.sun_path, "/s");
    assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(sock, backlog), 0);
    assert_int_equal(ivshmem_client_init(&fake->client, address.sun_path, NULL, NULL, false), 0);
    return sock;
}

static void remove_path(Fake *fake)
{
    char *path = fake->client.unix_sock_path;

    assert_int_equal(unlink(path), 0);
    *strrchr(path, '/') = 0;
    assert_int_equal(rmdir(path), 0);
}

static void test_no_server(void **state)
{
    Fake *fake = *state;

    fd_close(listen_at_path(fake, 1));
    assert_int_equal(ivshmem_client_connect(&fake->client), -ECONNREFUSED);
    assert_non_null(strstr(ivshmem_client_error(&fake->client), fake->client.unix_sock_path));
    remove_path(fake);
    assert_int_equal(ivshmem_client_connect(&fake->client), -ENOENT);
}

/* Nobody accepts: first the set-up does not come, then there is no room to wait in. */
static void test_busy_server(void **state)
{
    Fake *fake = *state;
    int sock = listen_at_path(fake, 0);
    IvshmemClient second;

    assert_int_equal(ivshmem_client_connect_timeout(&fake->client, 20), -ETIMEDOUT);
    assert_int_equal(ivshmem_client_init(&second, fake->client.unix_sock_path, NULL, NULL, false),
                     0);
    assert_int_equal(ivshmem_client_connect_timeout(&second, 0), -ETIMEDOUT);
    assert_int_equal(ivshmem_client_connect_timeout(&second, 20), -ETIMEDOUT);
    assert_non_null(strstr(ivshmem_client_error(&second), "cannot connect to"));
    fd_close(sock);
    remove_path(fake);
}

/* A child process serves one client, at the path. */
static void serve_one(Fake *fake, int sock)
{
    fake->sock = accept(sock, NULL, NULL);
    fake_send_start(fake, 11);
    _exit(fake->sock >= 0 ? 0 : 1);
}

static void test_connect_path(void **state)
{
    Fake *fake = *state;
    _cleanup_close_ int sock = listen_at_path(fake, 1);
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        serve_one(fake, sock);
    assert_int_equal(ivshmem_client_connect_timeout(&fake->client, FAKE_WAIT_MS), 0);
    assert_int_equal(fake->client.local.id, 11);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    remove_path(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test_setup_teardown(test_too_many_vectors, fake_setup, fake_teardown),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test_setup_teardown(test_two_fds, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_two_fds_in_two_pieces, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_no_fd_left, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_own_vector_that_is_none, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_silent_server, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_no_server, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_busy_server, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_connect_path, fake_setup, fake_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
