/* SPDX-License-Identifier: MIT */
/*
 * The client library on the other end of a server that sends what it likes, bytes and descriptors
 * of any kind, while the client is used in every way, also from within its callbacks. An input is a
 * row of actions.
 *
 * Whatever comes, each call returns with an error that the header names, at once; the client's
 * tables stay consistent; no descriptor is lost. (Of a client that is not wary, the header says
 * what makes its rings wait: that does not happen to it here.)
 */
#include "fuzz.h"
#include "ivshmem-client.h"
#include "util/cleanup.h"
#include "util/fdpass.h"
#include "wire/message.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* What a server may send. The eventfd is the one that it should. */
enum {
    FD_EVENT,
    FD_OTHER_EVENT,
    FD_BLOCKING_EVENT, /* and it is full */
    FD_SEMAPHORE,
    FD_MEMORY,
    FD_EMPTY_MEMORY,
    FD_READ_ONLY,
    FD_NULL,
    FD_FOLDER,
    FD_EPOLL,
    FD_PIPE_IN,
    FD_PIPE_OUT, /* and it is full */
    N_FDS,
};

typedef struct Scene {
    Input input;
    IvshmemClient client;
    int server_sock; /* -1: it has hung up */
    int fds[N_FDS];
    bool inside; /* a callback */
} Scene;

static Scene scene;

static void make_fds(int *fds)
{
    const uint64_t most = UINT64_MAX - 1;
    int pipe_ends[2];
    char full[4096] = {0};

    RULE(pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) == 0);
    while (write(pipe_ends[1], full, sizeof(full)) > 0)
        ;
    RULE(fcntl(pipe_ends[0], F_SETFL, 0) == 0 && fcntl(pipe_ends[1], F_SETFL, O_WRONLY) == 0);
    fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[FD_OTHER_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[FD_BLOCKING_EVENT] = eventfd(0, EFD_CLOEXEC);
    fds[FD_SEMAPHORE] = eventfd(1000, EFD_CLOEXEC | EFD_SEMAPHORE);
    fds[FD_MEMORY] = memfd_create("fuzz", MFD_CLOEXEC);
    fds[FD_EMPTY_MEMORY] = memfd_create("fuzz", MFD_CLOEXEC);
    fds[FD_READ_ONLY] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
    fds[FD_FOLDER] = open("/", O_RDONLY | O_CLOEXEC);
    fds[FD_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
    fds[FD_PIPE_IN] = pipe_ends[0];
    fds[FD_PIPE_OUT] = pipe_ends[1];
    for (unsigned i = 0; i < N_FDS; i++)
        RULE(fds[i] >= 0);
    RULE(write(fds[FD_BLOCKING_EVENT], &most, sizeof(most)) == sizeof(most));
    RULE(ftruncate(fds[FD_MEMORY], 8192) == 0);
}

/* The list, the count and the search agree, and peers have what their numbers say. */
static void check_tables(void)
{
    const IvshmemClientPeer *peer;
    unsigned n = 0;

    IVSHMEM_CLIENT_FOREACH_PEER(peer, &scene.client) {
        RULE(peer->id >= 0 && peer->id <= WIRE_MAX_ID && peer->id != scene.client.local.id);
        RULE(ivshmem_client_search_peer(&scene.client, peer->id) == peer);
        RULE(peer->vectors_count >= 1 && peer->vectors_count <= IVSHMEM_CLIENT_MAX_VECTORS);
        for (unsigned i = 0; i < peer->vectors_count; i++)
            RULE(fcntl(peer->vectors[i], F_GETFD) == FD_CLOEXEC);
        n++;
    }
    RULE(n == scene.client.peer_list.count);
}

/* One of those that are there, or NULL. */
static IvshmemClientPeer *choose_peer(void)
{
    return ivshmem_client_search_peer(&scene.client, (int16_t)input_number(&scene.input, 1));
}

/* libFuzzer's alarm ends a wait with EINTR, soon enough that no timeout is seen: a ring that has
 * met it has waited. */
static void check_ring(int r)
{
    RULE(r != -EINTR);
}

static void use_from_within(void)
{
    RULE(!scene.inside);
    scene.inside = true;
    switch (input_choose(&scene.input, 6)) {
    case 0:
        ivshmem_client_close(&scene.client);
        break;
    case 1:
        RULE(ivshmem_client_dispatch(&scene.client) == -EBUSY);
        break;
    case 2:
        check_ring(ivshmem_client_notify_broadcast(&scene.client));
        break;
    default:
        break;
    }
    scene.inside = false;
}

static void on_ring(const IvshmemClient *client, const IvshmemClientPeer *peer, unsigned vector,
                    void *arg)
{
    (void)arg;
    RULE(client == &scene.client && peer == &client->local && vector < peer->vectors_count);
    use_from_within();
}

static void on_peer(const IvshmemClient *client, const IvshmemClientPeer *peer, void *arg)
{
    (void)arg;
    RULE(client == &scene.client && peer != &client->local && peer->vectors_count >= 1);
    RULE(ivshmem_client_search_peer(&scene.client, peer->id) == peer);
    use_from_within();
}

/* Bytes that need not be a message, and up to three descriptors. */
static void send_bytes(const void *bytes, size_t n_bytes, unsigned n_fds)
{
    int fds[3];

    for (unsigned i = 0; i < n_fds; i++)
        fds[i] = scene.fds[input_choose(&scene.input, N_FDS)];
    if (scene.server_sock >= 0)
        (void)fdpass_send(scene.server_sock, bytes, n_bytes, fds, n_fds);
}

static void send_anything(void)
{
    uint8_t bytes[32] = {0};
    size_t n = 1 + input_choose(&scene.input, sizeof(bytes));
    unsigned n_fds = input_choose(&scene.input, 4);

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)input_number(&scene.input, 1);
    send_bytes(bytes, n, n_fds);
}

/* A row of messages for one ID, with descriptors or without. */
static void send_messages(unsigned n_fds)
{
    uint8_t bytes[WIRE_MESSAGE_SIZE];
    unsigned n = 1 + input_choose(&scene.input, 8);

    wire_encode(bytes, (int8_t)input_number(&scene.input, 1));
    while (n-- > 0)
        send_bytes(bytes, sizeof(bytes), n_fds);
}

static void send_start(void)
{
    const int64_t values[] = {0, (int8_t)input_number(&scene.input, 1), -1};

    for (unsigned i = 0; i < 3; i++) {
        uint8_t bytes[WIRE_MESSAGE_SIZE];

        wire_encode(bytes, values[i]);
        send_bytes(bytes, sizeof(bytes), i == 2);
    }
}

static void connect_client(void)
{
    int ends[2], r;

    RULE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    fd_close(scene.server_sock);
    scene.server_sock = ends[0];
    send_start();
    if (input_choose(&scene.input, 8) == 0)
        scene.server_sock = fd_close(scene.server_sock);
    r = ivshmem_client_connect_fd(&scene.client, ends[1], 0);
    RULE(r == 0 || r == -EISCONN || r == -ETIMEDOUT || r == -ECONNRESET || r == -EPROTO);
    RULE(r == 0 || *ivshmem_client_error(&scene.client) || r == -EISCONN);
}

static void dispatch(void)
{
    int r = ivshmem_client_dispatch(&scene.client);

    RULE(r == 0 || r == -ECONNRESET || r == -EPROTO || r == -ECANCELED || r == -ENOTCONN ||
         r == -EPERM /* the kernel's, for one of our vectors that cannot be polled */ ||
         r == -EEXIST || r == -EMFILE);
}

static void map(void)
{
    void *memory;
    size_t size;

    if (ivshmem_client_map(&scene.client, input_choose(&scene.input, 2),
                           input_choose(&scene.input, 65536), &memory, &size) < 0)
        return;
    RULE(size > 0 && munmap(memory, size) == 0);
}

/* A peer that holds the same eventfd makes it blocking, empty, full. Blocking and full is what only
 * a wary client is safe from. */
static void meddle(void)
{
    int fd = scene.fds[input_choose(&scene.input, FD_BLOCKING_EVENT + 1)];
    uint64_t count = UINT64_MAX - 1;

    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)!read(fd, &count, sizeof(count));
    count = input_choose(&scene.input, 2) ? UINT64_MAX - 1 : 1;
    if (input_choose(&scene.input, 2))
        (void)!write(fd, &count, sizeof(count));
    if (input_choose(&scene.input, 2) && scene.client.wary)
        (void)fcntl(fd, F_SETFL, 0);
}

static void act(void)
{
    IvshmemClient *client = &scene.client;

    switch (input_choose(&scene.input, 16)) {
    case 0:
        connect_client();
        break;
    case 1:
        send_anything();
        break;
    case 2:
    case 3:
    case 4:
        send_messages(1);
        break;
    case 5:
        send_messages(0);
        break;
    case 6:
        scene.server_sock = fd_close(scene.server_sock);
        break;
    case 7:
        ivshmem_client_close(client);
        break;
    case 8:
        check_ring(ivshmem_client_notify(client, choose_peer(), input_choose(&scene.input, 4)));
        break;
    case 9:
        check_ring(ivshmem_client_notify_all_vects(client, choose_peer()));
        break;
    case 10:
        (void)ivshmem_client_wait(client, input_choose(&scene.input, 4), 0);
        break;
    case 11:
        map();
        break;
    case 12:
        (void)ivshmem_client_wait_ready(client, 0);
        break;
    case 13:
        meddle();
        break;
    default:
        dispatch();
    }
    check_tables();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    int open_before = count_open_fds();
    unsigned options;

    scene = (Scene){.input = {bytes, n}, .server_sock = -1};
    make_fds(scene.fds);
    options = input_choose(&scene.input, 256);
    RULE(ivshmem_client_init(&scene.client, "unused", options & 1 ? on_ring : NULL, NULL, false) ==
         0);
    ivshmem_client_set_vectors(&scene.client, options >> 1 & 3);
    ivshmem_client_set_wary(&scene.client, !(options & 16));
    if (options & 8)
        ivshmem_client_set_peer_callbacks(&scene.client, on_peer, on_peer, NULL);
    connect_client();
    while (scene.input.n > 0)
        act();
    ivshmem_client_close(&scene.client);
    fd_close(scene.server_sock);
    for (unsigned i = 0; i < N_FDS; i++)
        fd_close(scene.fds[i]);
    RULE(count_open_fds() == open_before);
    return 0;
}
