/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: an 8-byte 1 written to an eventfd. A counter that is full gives EAGAIN, and its owner
 * has plenty to read: that is a ring.
 *
 * O_NONBLOCK belongs to the eventfd, not to who holds it: a hostile peer can clear it, fill the
 * counter, and whoever rings then waits for ever. So does who reads, once it is empty. Reading has
 * a flag of its own against that (RWF_NOWAIT, which eventfds know since Linux 5.8). Writing to an
 * eventfd has none, so a client that is wary has the shared flag looked at before, and put back: at
 * the price of another system call. What is left to the hostile peer is the instant between that
 * look and the write.
 */
#include "client/internal.h"
#include "util/deadline.h"
#include "util/nowait.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define READS_MAX 16 /* of one vector at a time, should somebody ring it without end */

static const uint64_t one = 1;

int ivshmem_client_notify(const IvshmemClient *client, const IvshmemClientPeer *peer,
                          unsigned vector)
{
    if (!peer)
        return -ENOENT;
    if (vector >= peer->vectors_count)
        return -ERANGE;
    if (client->wary)
        nowait_restore(peer->vectors[vector]);
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

int link_take_rings(int fd)
{
    uint64_t count;
    ssize_t n = sizeof(count);
    bool rung = false;

    for (unsigned i = 0; i < READS_MAX && n == sizeof(count); i++) {
        n = nowait_read(fd, &count, sizeof(count));
        rung |= n == sizeof(count);
    }
    if (rung)
        return 1;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return -EIO;
}

int ivshmem_client_wait(IvshmemClient *client, unsigned vector, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    struct pollfd poll_fd = {.events = POLLIN};

    if (vector >= client->local.vectors_count)
        return -ERANGE;
    poll_fd.fd = client->local.vectors[vector];
    for (;;) {
        int r = link_take_rings(poll_fd.fd);

        if (r != 0)
            return r < 0 ? r : 0;
        r = poll(&poll_fd, 1, deadline_left(deadline));
        if (r < 0)
            return -errno;
        if (r == 0)
            return -ETIMEDOUT;
    }
}
