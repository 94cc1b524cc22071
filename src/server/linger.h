/* SPDX-License-Identifier: MIT */
/*
 * Connections of clients that were disconnected with descriptors unread.
 *
 * Those stay in the client's queue, charged to our user, until it reads them or closes its end,
 * whether or not we have closed ours. Were they forgotten, a client could connect, break the
 * protocol and keep its end, again and again, until nobody can be sent a descriptor any more
 * (flight.h). So our end stays open, shut down, to see when they have gone. Until then the
 * connection counts as a client of its user, and of the server. It is memory of this process: after
 * a crash they are closed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ServerCore;

typedef struct Lingering {
    int sock;
    uid_t uid;
    uint32_t unread; /* descriptors; they are in the flight's sum */
} Lingering;

typedef struct Linger {
    Lingering *entries;
    uint32_t n, n_allocated;
    int64_t checked_at; /* CLOCK_MONOTONIC, ns */
} Linger;

/** Closes all of them. */
void linger_free(Linger *linger);

/** Takes over the connection of a client that has been closed, which is not watched any more, and
 * closes it, now or later. */
void linger_add(struct ServerCore *core, int sock, uid_t uid, uint32_t unread);

/** Looks again before somebody is turned away for those that linger: the kernel drops what a client
 * has not read a moment after it says that he has hung up. */
void linger_check_soon(struct ServerCore *core);

/** TIMER_LINGER has come: closes those of which nothing is unread. */
void linger_check(struct ServerCore *core);
