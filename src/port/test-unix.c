/* SPDX-License-Identifier: MIT */
/* A port over a server's socket: what ivshmem-port.h promises, with a real server in a child. */
#include "util/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "ivshmem-port.h"
#include "ivshmem-server.h"
#include "util/address.h"
#include "util/fdpass.h"
#include "wire/message.h"

#define SIZE      8192
#define N_VECTORS 2
#define BOUND_MS  10000 /* for what must happen; no test waits as long as that */

typedef struct World {
    char folder[64];
    char uri[96];
    pid_t server;
    int n_fds;
    char told[128]; /* by callbacks: "+1:2 " for peer 1 with 2 vectors, "-1 " */
    char log[1024]; /* the last error */
} World;

/* Does not return. */
static void serve(const char *path, const char *folder, int started)
{
    IvshmemServer server;
    struct pollfd poll_fd = {.events = POLLIN};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ivshmem_server_init(&server, path, folder, false, SIZE, N_VECTORS, false) < 0 ||
        ivshmem_server_start(&server) < 0)
        _exit(EXIT_FAILURE);
    (void)close(started); /* that is the sign */
    poll_fd.fd = ivshmem_server_get_fd(&server);
    while (poll(&poll_fd, 1, -1) >= 0 && ivshmem_server_dispatch(&server) == 0)
        continue;
    _exit(EXIT_FAILURE);
}

static int start(void **state)
{
    static World world;
    int started[2];
    char byte;

    world = (World){.n_fds = count_open_fds(), .folder = "/tmp/ivshmem-port-XXXXXX"};
    assert_non_null(mkdtemp(world.folder));
    (void)snprintf(world.uri, sizeof(world.uri), "unix:%s/socket", world.folder);
    assert_int_equal(pipe(started), 0);
    world.server = fork();
    assert_true(world.server >= 0);
    if (world.server == 0) {
        (void)close(started[0]);
        serve(world.uri + strlen("unix:"), world.folder, started[1]);
    }
    (void)close(started[1]);
    assert_int_equal(read(started[0], &byte, 1), 0);
    (void)close(started[0]);
    *state = &world;
    return 0;
}

static void stop_server(World *world)
{
    if (world->server > 0) {
        (void)kill(world->server, SIGKILL);
        (void)waitpid(world->server, NULL, 0);
    }
    world->server = 0;
}

static int stop(void **state)
{
    World *world = *state;
    char command[128];

    stop_server(world);
    (void)snprintf(command, sizeof(command), "rm -r %s", world->folder);
    return count_open_fds() != world->n_fds || system(command) != 0;
}

static void on_connected(void *opaque, const IvshmemPortPeer *peer)
{
    World *world = opaque;
    size_t used = strlen(world->told);

    (void)snprintf(world->told + used, sizeof(world->told) - used, "+%u:%u ", peer->id,
                   peer->n_vectors);
}

static void on_left(void *opaque, const IvshmemPortPeer *peer)
{
    World *world = opaque;
    size_t used = strlen(world->told);

    (void)snprintf(world->told + used, sizeof(world->told) - used, "-%u ", peer->id);
}

static void on_log(void *opaque, int priority, const char *line)
{
    World *world = opaque;

    if (priority <= LOG_ERR)
        (void)snprintf(world->log, sizeof(world->log), "%s", line);
}

static IvshmemPort *open_port(World *world, bool telling)
{
    const IvshmemPortOptions options = {
        .n_vectors = N_VECTORS,
        .connected = telling ? on_connected : NULL,
        .left = telling ? on_left : NULL,
        .log = on_log,
        .opaque = world,
    };
    IvshmemPort *port = NULL;

    assert_int_equal(ivshmem_port_open(&port, world->uri, &options), 0);
    return port;
}

static void until_told(World *world, IvshmemPort *port, const char *told)
{
    struct pollfd news = {.fd = ivshmem_port_news_fd(port), .events = POLLIN};

    while (strcmp(world->told, told) != 0) {
        assert_int_equal(poll(&news, 1, BOUND_MS), 1);
        assert_int_equal(ivshmem_port_dispatch(port), 0);
    }
    world->told[0] = '\0';
}

/* Rings a peer that may not have been announced yet: that somebody is ready does not mean that
 * everybody has heard of him. */
static int ring_when_known(IvshmemPort *port, unsigned peer, unsigned vector)
{
    struct pollfd news = {ivshmem_port_news_fd(port), POLLIN, 0};
    int r;

    for (;;) {
        r = ivshmem_port_ring(port, peer, vector);
        if ((r != -ENOENT && r != -ERANGE) || poll(&news, 1, BOUND_MS) != 1)
            return r;
        assert_int_equal(ivshmem_port_dispatch(port), 0);
    }
}

static void test_what_it_is(void **state)
{
    World *world = *state;
    IvshmemPort *port = open_port(world, false);

    assert_string_equal(ivshmem_port_name(port), world->uri);
    assert_int_equal(ivshmem_port_id(port), 0);
    assert_int_equal(ivshmem_port_n_vectors(port), N_VECTORS);
    assert_int_equal(ivshmem_port_memory_size(port), SIZE);
    assert_true(ivshmem_port_has_interrupts(port));
    assert_int_equal(ivshmem_port_peers(port, NULL, 0), 0);
    memset(ivshmem_port_memory(port), 1, SIZE);
    ivshmem_port_close(port);
}

static void test_doorbells(void **state)
{
    World *world = *state;
    IvshmemPort *a = open_port(world, false);
    IvshmemPort *b = open_port(world, false);

    assert_int_equal(ring_when_known(a, 1, 1), 0);
    assert_int_equal(ring_when_known(a, 1, 1), 0);
    assert_int_equal(ivshmem_port_wait(b, 0, 0), 0);
    assert_int_equal(ivshmem_port_wait(b, 1, BOUND_MS), 1); /* two in one */
    assert_int_equal(ivshmem_port_wait(b, 1, 1), 0);
    assert_int_equal(ring_when_known(b, 1, 0), 0); /* itself */
    assert_int_equal(ivshmem_port_wait(b, 0, BOUND_MS), 1);

    assert_int_equal(ivshmem_port_ring(a, 1, N_VECTORS), -ERANGE);
    assert_int_equal(ivshmem_port_ring(a, 1, 65536), -EINVAL);
    assert_int_equal(ivshmem_port_ring(a, 2, 0), -ENOENT);
    assert_int_equal(ivshmem_port_ring(a, 65536, 0), -EINVAL);
    assert_int_equal(ivshmem_port_ring(a, 2, 65536), -EINVAL);
    assert_int_equal(ivshmem_port_wait(b, N_VECTORS, 0), -EINVAL);
    assert_int_equal(ivshmem_port_vector_fd(b, N_VECTORS), -EINVAL);
    ivshmem_port_close(a);
    ivshmem_port_close(b);
}

/* A peer that has made its eventfd block, and filled it, does not hold up who is wary. */
static void test_wary(void **state)
{
    World *world = *state;
    const IvshmemPortOptions options = {.n_vectors = N_VECTORS, .wary = true};
    const uint64_t full = UINT64_MAX - 1;
    IvshmemPort *port = NULL;
    IvshmemPort *bad = open_port(world, false);
    int fd = ivshmem_port_vector_fd(bad, 0);

    assert_int_equal(ivshmem_port_open(&port, world->uri, &options), 0);
    assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    assert_int_equal(ring_when_known(port, 0, 0), 0);
    assert_int_equal(ring_when_known(port, 0, 1), 0);
    assert_int_equal(ivshmem_port_wait(bad, 1, BOUND_MS), 1);
    ivshmem_port_close(port);
    ivshmem_port_close(bad);
}

static void test_peers(void **state)
{
    World *world = *state;
    IvshmemPort *first = open_port(world, false);
    IvshmemPort *port = open_port(world, true);
    IvshmemPortPeer peers[2] = {{.id = 99}, {.id = 99}};
    IvshmemPort *third;

    until_told(world, port, "+0:2 "); /* told in the open */
    third = open_port(world, false);
    until_told(world, port, "+2:2 ");
    assert_int_equal(ivshmem_port_peers(port, peers, 1), 2);
    assert_int_equal(peers[0].id, 0);
    assert_int_equal(peers[1].id, 99);
    assert_int_equal(ivshmem_port_peers(port, peers, 2), 2);
    assert_int_equal(peers[1].n_vectors, N_VECTORS);
    ivshmem_port_close(first);
    until_told(world, port, "-0 ");
    ivshmem_port_close(third);
    ivshmem_port_close(port);
}

typedef struct Look {
    IvshmemPort *ringer; /* rings while the other looks: that must not be slept through */
    int looks;
} Look;

static bool look_thrice(void *opaque)
{
    Look *look = opaque;

    assert_int_equal(ivshmem_port_ring(look->ringer, 1, 0), 0);
    return ++look->looks == 3;
}

static bool look_in_vain(void *opaque)
{
    ++*(int *)opaque;
    return false;
}

static void test_wait_for(void **state)
{
    World *world = *state;
    Look look = {.ringer = open_port(world, false)};
    IvshmemPort *port = open_port(world, false);
    int looks = 0;

    assert_int_equal(ring_when_known(look.ringer, 1, 0), 0);
    assert_int_equal(ivshmem_port_wait_for(port, 0, look_thrice, &look, BOUND_MS), 1);
    assert_int_equal(ivshmem_port_wait_for(port, 1, look_in_vain, &looks, 1), 0);
    assert_int_equal(looks, 2); /* and once more when the time was up */
    assert_int_equal(ivshmem_port_wait_for(port, 2, look_in_vain, &looks, 1), -EINVAL);
    ivshmem_port_close(port);
    ivshmem_port_close(look.ringer);
}

/* The end of the server is told once, and ends nothing between the peers. */
static void test_server_gone(void **state)
{
    World *world = *state;
    IvshmemPort *a = open_port(world, false);
    IvshmemPort *b = open_port(world, false);
    struct pollfd news = {.fd = ivshmem_port_news_fd(b), .events = POLLIN};

    assert_int_equal(ivshmem_port_wait(a, 0, 0), 0);
    assert_int_equal(ring_when_known(a, 1, 1), 0); /* its last vector: a has all of them */
    assert_int_equal(ring_when_known(a, 1, 0), 0);
    stop_server(world);
    assert_int_equal(poll(&news, 1, BOUND_MS), 1);
    assert_int_equal(ivshmem_port_wait(b, 0, BOUND_MS), 1); /* has seen the end, and keeps it */
    assert_int_equal(ivshmem_port_dispatch(b), -ECONNRESET);
    assert_non_null(strstr(world->log, world->uri + strlen("unix:")));
    assert_int_equal(ivshmem_port_dispatch(b), 0);
    assert_int_equal(ring_when_known(a, 1, 1), 0);
    assert_int_equal(ivshmem_port_wait(b, 1, BOUND_MS), 1);
    *(volatile char *)ivshmem_port_memory(a) = 7;
    assert_int_equal(*(volatile char *)ivshmem_port_memory(b), 7);
    ivshmem_port_close(a);
    ivshmem_port_close(b);
}

static void test_how_to_map(void **state)
{
    World *world = *state;
    IvshmemPortOptions options = {.n_vectors = N_VECTORS, .no_memory = true};
    IvshmemPort *port;

    assert_int_equal(ivshmem_port_open(&port, world->uri, &options), 0);
    assert_null(ivshmem_port_memory(port));
    assert_int_equal(ivshmem_port_memory_size(port), SIZE);
    ivshmem_port_close(port);

    options = (IvshmemPortOptions){.n_vectors = N_VECTORS, .read_only = true};
    assert_int_equal(ivshmem_port_open(&port, world->uri, &options), 0);
    assert_int_equal(*(volatile char *)ivshmem_port_memory(port), 0);
    ivshmem_port_close(port);
}

static void test_refused(void **state)
{
    World *world = *state;
    const IvshmemPortOptions options = {.log = on_log, .opaque = world};
    IvshmemPort *port = NULL;
    char uri[256];

    assert_int_equal(ivshmem_port_open(&port, "unix:/nonexistent/socket", &options), -ENOENT);
    assert_non_null(strstr(world->log, "/nonexistent/socket: No such file"));
    (void)snprintf(uri, sizeof(uri), "unix:%s", world->folder);
    assert_int_equal(ivshmem_port_open(&port, uri, &options), -ECONNREFUSED);
    memset(uri + 5, 'x', 108);
    uri[5 + 108] = '\0';
    assert_int_equal(ivshmem_port_open(&port, uri, NULL), -ENAMETOOLONG);
    assert_int_equal(ivshmem_port_open(&port, "unix:", &options), -EINVAL);
    assert_null(port);
}

static void send_message(int sock, int64_t value, int fd)
{
    uint8_t bytes[WIRE_MESSAGE_SIZE];

    wire_encode(bytes, value);
    if (fdpass_send(sock, bytes, sizeof(bytes), &fd, fd >= 0) != sizeof(bytes))
        _exit(EXIT_FAILURE);
}

/* A server whose vectors are no eventfds: they are readable, and cannot be read. Does not return.
 */
static void lie(int listener)
{
    int sock = accept(listener, NULL, NULL), memory = open("/dev/zero", O_RDWR | O_CLOEXEC);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    send_message(sock, WIRE_PROTOCOL_VERSION, -1);
    send_message(sock, 0, -1);
    send_message(sock, WIRE_MEMORY, memory);
    send_message(sock, 0, open("/dev/null", O_WRONLY | O_CLOEXEC));
    for (;;)
        (void)pause();
}

static void test_what_is_no_eventfd(void **state)
{
    World *world = *state;
    const IvshmemPortOptions options = {.n_vectors = 1, .no_memory = true};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    IvshmemPort *port = NULL;
    int looks = 0;
    pid_t liar;

    strcat(world->uri, "-of-a-liar");
    assert_int_equal(address_of_path(world->uri + strlen("unix:"), &address), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    liar = fork();
    assert_true(liar >= 0);
    if (liar == 0)
        lie(listener);
    assert_int_equal(ivshmem_port_open(&port, world->uri, &options), 0);
    assert_int_equal(ivshmem_port_wait(port, 0, BOUND_MS), -EBADF);
    assert_int_equal(ivshmem_port_wait_for(port, 0, look_in_vain, &looks, BOUND_MS), -EBADF);
    ivshmem_port_close(port);
    assert_int_equal(kill(liar, SIGKILL), 0);
    assert_int_equal(waitpid(liar, NULL, 0), liar);
    (void)close(listener);
}

#define served_test(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        served_test(test_what_it_is),
        served_test(test_doorbells),
        served_test(test_wary),
        served_test(test_peers),
        served_test(test_wait_for),
        served_test(test_server_gone),
        served_test(test_how_to_map),
        served_test(test_refused),
        served_test(test_what_is_no_eventfd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
