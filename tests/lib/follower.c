/* SPDX-License-Identifier: MIT */
#include "follower.h"

#include "util/cleanup.h"
#include "util/fdpass.h"
#include "wire/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool follower_init(Follower *follower, int sock, unsigned n_vectors, unsigned n_ids)
{
    *follower = (Follower){
        .sock = sock,
        .n_vectors = n_vectors,
        .n_ids = n_ids,
        .id = -1,
        .telling = -1,
        .memory_fd = -1,
        .peers = calloc(n_ids, sizeof(FollowerPeer)),
    };
    return follower->peers;
}

static void forget_vectors(FollowerPeer *peer)
{
    for (unsigned i = 0; i < peer->n_vectors; i++)
        fd_close(peer->vectors[i]);
    free(peer->vectors);
    peer->vectors = NULL;
    peer->n_vectors = 0;
}

void follower_free(Follower *follower)
{
    for (unsigned id = 0; follower->peers && id < follower->n_ids; id++)
        forget_vectors(&follower->peers[id]);
    free(follower->peers);
    follower->peers = NULL;
    fd_close(follower->memory_fd);
    follower->sock = fd_close(follower->sock);
}

static bool wrong(Follower *follower, int64_t value, int fd, const char *what)
{
    (void)snprintf(follower->wrong, sizeof(follower->wrong),
                   "client %" PRId64 ", message %" PRIu64 " (%" PRId64 "%s): %s", follower->id,
                   follower->n_messages, value, fd >= 0 ? " with an fd" : "", what);
    fd_close(fd);
    return false;
}

static bool take_hello(Follower *follower, int64_t value, int fd)
{
    switch (follower->n_messages) {
    case 0:
        return (value == 0 && fd < 0) || wrong(follower, value, fd, "not the version");
    case 1:
        if (value < 0 || (value >= follower->n_ids && !follower->observer) || fd >= 0)
            return wrong(follower, value, fd, "not an ID of its own");
        follower->id = value;
        return true;
    default:
        if (value != -1 || fd < 0)
            return wrong(follower, value, fd, "not the memory");
        follower->memory_fd = fd;
        return true;
    }
}

static bool take_vector(Follower *follower, int64_t id, int fd)
{
    FollowerPeer *peer = &follower->peers[id];

    if (peer->state == PEER_TOLD)
        return wrong(follower, id, fd, "a vector too many, or an ID announced twice");
    if (peer->state == PEER_GONE)
        return wrong(follower, id, fd, "an ID came back after its departure");
    if (!peer->vectors)
        peer->vectors = calloc(follower->n_vectors, sizeof(*peer->vectors));
    if (!peer->vectors)
        return wrong(follower, id, fd, "out of memory in the test");
    peer->vectors[peer->n_vectors++] =
        follower->drops_fds && id != follower->id ? fd_close(fd) : fd;
    peer->state = peer->n_vectors == follower->n_vectors ? PEER_TOLD : PEER_TELLING;
    follower->telling = peer->state == PEER_TELLING ? id : -1;
    if (id == follower->id && peer->state == PEER_TOLD)
        follower->set_up = true;
    return true;
}

static bool take_departure(Follower *follower, int64_t id)
{
    FollowerPeer *peer = &follower->peers[id];

    if (id == follower->id)
        return wrong(follower, id, -1, "its own departure");
    if (peer->state == PEER_UNKNOWN)
        return wrong(follower, id, -1, "the departure of an ID that it never heard of");
    if (peer->state == PEER_GONE)
        return wrong(follower, id, -1, "a second departure");
    forget_vectors(peer);
    peer->state = PEER_GONE;
    follower->telling = -1;
    return true;
}

static bool take_own_of_observer(Follower *follower, int64_t value, int fd)
{
    if (fd < 0 || follower->n_own == follower->n_vectors)
        return wrong(follower, value, fd, "not one of its own vectors");
    fd_close(fd);
    follower->set_up = ++follower->n_own == follower->n_vectors;
    return true;
}

static bool take(Follower *follower, int64_t value, int fd)
{
    bool ok;

    if (follower->n_messages < 3)
        ok = take_hello(follower, value, fd);
    else if (follower->observer && value == follower->id)
        ok = take_own_of_observer(follower, value, fd);
    else if (value < 0 || value >= follower->n_ids)
        ok = wrong(follower, value, fd, "not an ID");
    else if (follower->telling >= 0 && follower->telling != value)
        ok = wrong(follower, value, fd, "another ID has not got all its vectors yet");
    else
        ok = fd >= 0 ? take_vector(follower, value, fd) : take_departure(follower, value);
    follower->n_messages++;
    return ok;
}

int follower_read(Follower *follower, unsigned most)
{
    unsigned n = 0;

    for (; n < most && !follower->ended; n++) {
        uint8_t bytes[WIRE_MESSAGE_SIZE];
        int fds[FDPASS_MAX_FDS], fd;
        size_t n_fds;
        ssize_t got =
            fdpass_recv(follower->sock, bytes, sizeof(bytes), fds, FDPASS_MAX_FDS, &n_fds);

        if (got == -EAGAIN)
            break;
        if (got == 0 || got == -ECONNRESET) {
            follower->ended = true;
            break;
        }
        fd = n_fds > 0 ? fds[0] : -1;
        if (got != WIRE_MESSAGE_SIZE || n_fds > 1) {
            for (size_t i = 1; i < n_fds; i++)
                fd_close(fds[i]);
            return wrong(follower, got, fd, "not a whole message with one fd at most") - 1;
        }
        if (!take(follower, wire_decode(bytes), fd))
            return -1;
    }
    return (int)n;
}
