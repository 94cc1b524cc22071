/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: an 8-byte 1 written to an eventfd, which is one system call and next to nothing else.
 * A counter that is full gives EAGAIN, and its owner has plenty to read: that is a ring.
 */
#include "client/internal.h"
#include "util/deadline.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define READS_MAX 16 /* of one vector at a time, should somebody ring it without end */

static const uint64_t one = 1;

int ivshmem_client_notify(const IvshmemClient *client, const IvshmemClientPeer *peer,
                          unsigned vector)
{
    (void)client;
    if (!peer)
        return -ENOENT;
    if (vector >= peer->vectors_count)
        return -ERANGE;
    if (write(peer->vectors[vector], &one, sizeof(one)) < 0 && errno != EAGAIN)
        return -errno;
    return 0;
}

int ivshmem_client_notify_all_vects(const IvshmemClient *client, const IvshmemClientPeer *peer)
{
    int first = 0;

    if (!peer)
        return -ENOENT;
    for (unsigned vector = 0; vector < peer->vectors_count; vector++) {
        int r = ivshmem_client_notify(client, peer, vector);

        if (first == 0)
            first = r;
    }
    return first;
}

int ivshmem_client_notify_broadcast(const IvshmemClient *client)
{
    const IvshmemClientPeer *peer;
    int first = 0;

    IVSHMEM_CLIENT_FOREACH_PEER(peer, client) {
        int r = ivshmem_client_notify_all_vects(client, peer);

        if (first == 0)
            first = r;
    }
    return first;
}

bool link_take_rings(int fd)
{
    uint64_t count;
    bool rung = false;

    for (unsigned i = 0; i < READS_MAX; i++) {
        if (read(fd, &count, sizeof(count)) != sizeof(count))
            break;
        rung = true;
    }
    return rung;
}

int ivshmem_client_wait(IvshmemClient *client, unsigned vector, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    struct pollfd poll_fd = {.events = POLLIN};

    if (vector >= client->local.vectors_count)
        return -ERANGE;
    poll_fd.fd = client->local.vectors[vector];
    while (!link_take_rings(poll_fd.fd)) {
        int r = poll(&poll_fd, 1, deadline_left(deadline));

        if (r < 0)
            return -errno;
        if (r == 0)
            return -ETIMEDOUT;
    }
    return 0;
}
