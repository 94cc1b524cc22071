/* SPDX-License-Identifier: MIT */
/*
 * A client held against a plain model through a long random run: peers come, all at once or in
 * part, and go; vectors are rung both ways; messages arrive in pieces and calls are interrupted.
 * After each dispatch the client must know what the model knows, ring the right eventfd, and have
 * told of each peer once. MODEL_SEED and MODEL_STEPS choose the run; both are printed.
 */
#include "client/fake-server.h"
#include "util/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <time.h>

#define N_IDS     12 /* 0 is the client's own */
#define N_VECTORS 3

typedef struct ModelPeer {
    unsigned n_vectors; /* told so far; 0: not present */
    uint64_t since;     /* when it came: the list's order */
    bool introduced;    /* the connected callback was called */
    int fds[N_VECTORS];
} ModelPeer;

typedef struct Model {
    Fake *fake;
    ModelPeer peers[N_IDS];
    unsigned coming; /* the ID whose vectors are not all told; 0: none */
    uint64_t clock, rung[N_VECTORS], heard[N_VECTORS];
} Model;

static Model model;
static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % n;
}

static ssize_t recvmsg_in_pieces(int fd, struct msghdr *msg, int flags)
{
    if (random_below(8) == 0) {
        errno = random_below(2) ? EINTR : EAGAIN;
        return -1;
    }
    msg->msg_iov->iov_len = 1 + random_below((uint32_t)msg->msg_iov->iov_len);
    return recvmsg(fd, msg, flags);
}

static int interrupted_epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
    if (random_below(8) == 0) {
        errno = EINTR;
        return -1;
    }
    return epoll_wait(fd, events, max, timeout_ms);
}

static void on_ring(const IvshmemClient *client, const IvshmemClientPeer *peer, unsigned vector,
                    void *arg)
{
    (void)client, (void)peer, (void)arg;
    assert_true(model.rung[vector] > 0);
    model.heard[vector]++;
}

static void on_connected(const IvshmemClient *client, const IvshmemClientPeer *peer, void *arg)
{
    (void)client, (void)arg;
    assert_in_range(peer->id, 1, N_IDS - 1);
    assert_false(model.peers[peer->id].introduced);
    model.peers[peer->id].introduced = true;
}

static void on_left(const IvshmemClient *client, const IvshmemClientPeer *peer, void *arg)
{
    (void)client, (void)arg;
    assert_true(model.peers[peer->id].introduced);
    model.peers[peer->id].introduced = false;
}

static void send_vector(unsigned id)
{
    ModelPeer *peer = &model.peers[id];

    fake_send(model.fake, id, peer->fds[peer->n_vectors]);
    if (peer->n_vectors++ == 0)
        peer->since = ++model.clock;
    model.coming = peer->n_vectors < N_VECTORS ? id : 0;
}

/* A departure is read at once: whether the peer had been introduced depends on what was read. */
static void send_departure(unsigned id)
{
    fake_send(model.fake, id, -1);
    model.peers[id].n_vectors = 0;
    if (model.coming == id)
        model.coming = 0;
}

static void do_peers(void)
{
    unsigned id = model.coming ? model.coming : 1 + random_below(N_IDS - 1);

    if (model.peers[id].n_vectors == N_VECTORS || (model.coming && random_below(8) == 0)) {
        send_departure(id);
        return;
    }
    for (unsigned n = 1 + random_below(N_VECTORS); n > 0 && model.peers[id].n_vectors < N_VECTORS;
         n--)
        send_vector(id);
}

static uint64_t take(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void do_ring(void)
{
    IvshmemClient *client = &model.fake->client;
    unsigned id = random_below(N_IDS), vector = random_below(N_VECTORS + 1);
    ModelPeer *peer = &model.peers[id];
    int expected = peer->n_vectors == 0 ? -ENOENT : vector >= peer->n_vectors ? -ERANGE : 0;

    assert_int_equal(ivshmem_client_notify(client, ivshmem_client_search_peer(client, id), vector),
                     expected);
    if (expected == 0 && id == 0)
        model.rung[vector]++;
    for (unsigned i = 0; i < N_VECTORS && id > 0; i++)
        assert_int_equal(take(peer->fds[i]), expected == 0 && i == vector ? 1 : 0);
}

/* Whether the client's list is the model's. */
static bool agrees(void)
{
    const IvshmemClientPeer *peer;
    unsigned n = 0, n_expected = 0;
    uint64_t since = 0;

    for (unsigned id = 1; id < N_IDS; id++)
        n_expected += model.peers[id].n_vectors > 0;
    IVSHMEM_CLIENT_FOREACH_PEER(peer, &model.fake->client) {
        if (peer->vectors_count != model.peers[peer->id].n_vectors ||
            model.peers[peer->id].since <= since)
            return false;
        since = model.peers[peer->id].since;
        n++;
    }
    return n == n_expected && n == model.fake->client.peer_list.count;
}

/* Whether everybody was told of whom they must have been: of all but the one still coming. */
static bool introductions_agree(void)
{
    for (unsigned id = 1; id < N_IDS; id++)
        if (id != model.coming && model.peers[id].introduced != (model.peers[id].n_vectors > 0))
            return false;
    return true;
}

static bool rings_are_heard(void)
{
    for (unsigned i = 0; i < N_VECTORS; i++)
        if (model.rung[i] > 0 && model.heard[i] == 0)
            return false;
    return true;
}

static void settle(void)
{
    unsigned tries = 0;

    do {
        assert_true(tries++ < 10000);
        assert_int_equal(ivshmem_client_dispatch(&model.fake->client), 0);
    } while (!agrees() || !introductions_agree() || !rings_are_heard());
    memset(model.rung, 0, sizeof(model.rung));
    memset(model.heard, 0, sizeof(model.heard));
}

static void begin(Fake *fake)
{
    model = (Model){.fake = fake};
    for (unsigned id = 0; id < N_IDS; id++)
        for (unsigned i = 0; i < N_VECTORS; i++)
            model.peers[id].fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(ivshmem_client_init(&fake->client, "unused", on_ring, NULL, false), 0);
    ivshmem_client_set_peer_callbacks(&fake->client, on_connected, on_left, NULL);
    fake_connect(fake);
    while (model.peers[0].n_vectors < N_VECTORS)
        send_vector(0);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), 0);
}

static uint64_t environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t number = text ? strtoull(text, NULL, 10) : otherwise;

    print_message("# %s=%" PRIu64 "\n", name, number);
    return number;
}

static void test_random(void **state)
{
    const SysCalls real = sys;
    struct timespec now;
    uint64_t steps;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    random_state = environment("MODEL_SEED", (uint64_t)now.tv_nsec | 1);
    steps = environment("MODEL_STEPS", 20000);
    begin(*state);
    sys.recvmsg = recvmsg_in_pieces;
    sys.epoll_wait = interrupted_epoll_wait;
    while (steps-- > 0) {
        for (unsigned n = 1 + random_below(4); n > 0; n--)
            do_peers();
        settle();
        do_ring();
    }
    sys = real;
    for (unsigned id = 0; id < N_IDS; id++)
        for (unsigned i = 0; i < N_VECTORS; i++)
            fd_close(model.peers[id].fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random, fake_setup, fake_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
