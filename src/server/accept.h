/* SPDX-License-Identifier: MIT */
/*
 * Taking connections from the listener, within the limits.
 *
 * At a limit the listener is not polled, so that connections wait in its backlog and the loop does
 * not spin. One descriptor is kept in reserve: when the process or the system is out of them in
 * spite of the limit, it is given up for a moment, to accept a client and turn it away.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ACCEPT_TURN 32 /* connections in a turn of the loop */

struct ServerCore;

/** When the next connection may be taken, and why not now. */
typedef struct Accept {
    int64_t paid_until; /* CLOCK_MONOTONIC, ns: max_accepts_per_s is used up to then */
    int64_t told_at;    /* when the log said so last */
    bool waiting;       /* for a departure or a timer: the listener is not polled */
} Accept;

/** The most clients that a server with so many vectors can have, by RLIMIT_NOFILE as it is now. */
unsigned accept_most_clients(unsigned n_vectors);

/** Accepts what waits, ACCEPT_TURN connections at most. */
void accept_turn(struct ServerCore *core);

/** There may be room again. */
void accept_resume(struct ServerCore *core);
