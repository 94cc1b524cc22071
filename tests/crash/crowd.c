/* SPDX-License-Identifier: MIT */
#include "crowd.h"

#include "util/address.h"
#include "util/cleanup.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define PATIENCE (20 * NS_PER_S)

void crowd_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

static int64_t now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

/* xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators,
 * scrambled" */
uint32_t crowd_random(Crowd *crowd, uint32_t n)
{
    crowd->random ^= crowd->random >> 12;
    crowd->random ^= crowd->random << 25;
    crowd->random ^= crowd->random >> 27;
    return (uint32_t)((crowd->random * UINT64_C(2685821657736338717) >> 32) % n);
}

void crowd_init(Crowd *crowd, const char *path, unsigned n_clients, unsigned n_vectors,
                uint64_t seed)
{
    *crowd = (Crowd){
        .path = path,
        .n_vectors = n_vectors,
        .n_clients = n_clients,
        .clients = calloc(n_clients, sizeof(*crowd->clients)),
        .random = seed ? seed : 1,
    };
    if (!crowd->clients)
        crowd_fail("no memory");
    for (unsigned i = 0; i < n_clients; i++)
        crowd->clients[i].follower.sock = -1;
}

void crowd_free(Crowd *crowd)
{
    for (unsigned i = 0; i < crowd->n_clients; i++)
        if (crowd->clients[i].follower.sock >= 0)
            crowd_leave(&crowd->clients[i]);
    free(crowd->clients);
    crowd->clients = NULL;
}

/* A backlog that is full for a moment is no failure of the server's. */
static void connect_to(const char *path, int sock)
{
    int64_t deadline = now() + PATIENCE;
    struct sockaddr_un address;

    if (address_of_path(path, &address) < 0)
        crowd_fail("no such path: %s", path);
    while (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno != EAGAIN || now() > deadline)
            crowd_fail("cannot connect: %s", strerror(errno));
        (void)poll(NULL, 0, 1);
    }
}

void crowd_join(Crowd *crowd, CrowdClient *client)
{
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (sock < 0 || !follower_init(&client->follower, sock, crowd->n_vectors, CROWD_IDS))
        crowd_fail("no client: %s", strerror(errno));
    client->follower.drops_fds = crowd->drops_fds;
    connect_to(crowd->path, sock);
    client->came_at = now();
    client->stalls = false;
    crowd->n_joins++;
}

void crowd_leave(CrowdClient *client)
{
    follower_free(&client->follower);
    client->follower.sock = -1;
}

/* How long the first answer took, as seen by a client that looks now and then. */
static void time_answer(Crowd *crowd, CrowdClient *client)
{
    int64_t waited = now() - client->came_at;

    if (client->came_at == 0)
        return;
    if (client->follower.memory_fd >= 0) {
        client->came_at = 0;
        if (waited > crowd->longest_wait)
            crowd->longest_wait = waited;
    } else if (waited > PATIENCE && !client->stalls) {
        crowd_fail("no first answer within %d s", (int)(PATIENCE / NS_PER_S));
    }
}

unsigned crowd_read(Crowd *crowd, CrowdClient *client, unsigned most)
{
    int n = follower_read(&client->follower, most);

    if (n < 0)
        crowd_fail("%s", client->follower.wrong);
    if (client->follower.ended)
        crowd_fail("the connection of client %" PRId64 " was cut after %" PRIu64 " messages",
                   client->follower.id, client->follower.n_messages);
    crowd->n_messages += (unsigned)n;
    time_answer(crowd, client);
    return (unsigned)n;
}

unsigned crowd_count(const Crowd *crowd)
{
    unsigned n = 0;

    for (unsigned i = 0; i < crowd->n_clients; i++)
        n += crowd->clients[i].follower.sock >= 0;
    return n;
}

/* Doorbells go from client to client: whether the server lives or not, one arrives, at the vector
 * that was rung. */
static void ring(Crowd *crowd, const Follower *from, const Follower *to, unsigned vector)
{
    const FollowerPeer *peer = &from->peers[to->id];
    uint64_t bell = 1, got = 0;

    if (peer->state != PEER_TOLD || crowd->drops_fds)
        return;
    if (write(peer->vectors[vector], &bell, sizeof(bell)) != sizeof(bell) ||
        read(to->peers[to->id].vectors[vector], &got, sizeof(got)) != sizeof(got) || got != 1)
        crowd_fail("a doorbell of %" PRId64 " to vector %u of %" PRId64 " came %" PRIu64 " times",
                   from->id, vector, to->id, got);
    crowd->n_rings++;
}

static CrowdClient *choose(Crowd *crowd)
{
    return &crowd->clients[crowd_random(crowd, crowd->n_clients)];
}

static void ring_somebody(Crowd *crowd, const CrowdClient *from)
{
    const CrowdClient *to = choose(crowd);

    if (to != from && to->follower.sock >= 0 && from->follower.set_up && to->follower.set_up)
        ring(crowd, &from->follower, &to->follower, crowd_random(crowd, crowd->n_vectors));
}

/* How long one waits who does not look is not known. */
static void set_stalls(CrowdClient *client, bool stalls)
{
    client->stalls = stalls;
    client->came_at = 0;
}

void crowd_step(Crowd *crowd)
{
    CrowdClient *client = choose(crowd);
    uint32_t what = crowd_random(crowd, 100);

    if (client->follower.sock < 0)
        crowd_join(crowd, client);
    else if (what < 2)
        crowd_leave(client);
    else if (what < 4)
        set_stalls(client, !client->stalls);
    else if (what < 30)
        ring_somebody(crowd, client);
    else if (!client->stalls)
        (void)crowd_read(crowd, client, 1 + crowd_random(crowd, 64));
}

/* What is not yet as it must be of what one client knows; NULL if all is. */
static const char *find_missing(const Crowd *crowd, const Follower *follower)
{
    unsigned n_there = crowd_count(crowd), n_known = 0;

    if (!follower->set_up)
        return "its set-up";
    for (unsigned i = 0; i < crowd->n_clients; i++) {
        const Follower *other = &crowd->clients[i].follower;

        if (other->sock < 0)
            continue;
        if (other->id < 0 || follower->peers[other->id].state != PEER_TOLD)
            return "the arrival of somebody";
    }
    for (unsigned id = 0; id < CROWD_IDS; id++)
        n_known +=
            follower->peers[id].state == PEER_TOLD || follower->peers[id].state == PEER_TELLING;
    return n_known > n_there ? "the departure of somebody" : NULL;
}

static void check_memory(const Follower *one, const Follower *other)
{
    struct stat first, second;

    if (fstat(one->memory_fd, &first) < 0 || fstat(other->memory_fd, &second) < 0 ||
        first.st_dev != second.st_dev || first.st_ino != second.st_ino)
        crowd_fail("clients %" PRId64 " and %" PRId64 " have different memories", one->id,
                   other->id);
}

static void check_pairs(Crowd *crowd)
{
    for (unsigned i = 0; i < crowd->n_clients; i++) {
        const Follower *from = &crowd->clients[i].follower;

        for (unsigned j = 0; from->sock >= 0 && j < crowd->n_clients; j++) {
            const Follower *to = &crowd->clients[j].follower;

            if (j == i || to->sock < 0)
                continue;
            check_memory(from, to);
            ring(crowd, from, to, (i + j) % crowd->n_vectors);
        }
    }
}

/* Whether everybody has read everything, and knows what he must. */
static bool is_settled(Crowd *crowd, const Follower **who, const char **missing)
{
    bool busy = false;

    for (unsigned i = 0; i < crowd->n_clients; i++)
        if (crowd->clients[i].follower.sock >= 0)
            busy |= crowd_read(crowd, &crowd->clients[i], UINT32_MAX) > 0;
    *missing = "an end of messages";
    for (unsigned i = 0; i < crowd->n_clients && !busy; i++) {
        *who = &crowd->clients[i].follower;
        if ((*who)->sock >= 0 && (*missing = find_missing(crowd, *who)))
            return false;
    }
    return !busy;
}

void crowd_settle(Crowd *crowd)
{
    int64_t deadline = now() + PATIENCE;
    const Follower *who = &crowd->clients[0].follower;
    const char *missing;

    for (unsigned i = 0; i < crowd->n_clients; i++)
        crowd->clients[i].stalls = false;
    while (!is_settled(crowd, &who, &missing)) {
        if (now() > deadline)
            crowd_fail("client %" PRId64 " still lacks %s", who->id, missing);
        (void)poll(NULL, 0, 1);
    }
    check_pairs(crowd);
}
