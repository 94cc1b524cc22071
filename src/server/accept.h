/* SPDX-License-Identifier: MIT */
/*
 * Taking connections from the listener, within the limits. Who is accepted waits in the lobby
 * (lobby.h) for his turn to become a client.
 *
 * At a limit the listener is not polled, so that connections wait in its backlog and the loop does
 * not spin. One descriptor is kept in reserve: when the process or the system is out of them in
 * spite of the limit, it is given up for a moment, to accept a client and turn it away.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ACCEPT_TURN 1024 /* connections in a turn of the loop */

struct ServerCore;
struct Listener;

/** When a listener's next connection may be taken, and why not now. */
typedef struct Accept {
    unsigned rate;      /* new clients in a second; 0: no limit */
    int64_t paid_until; /* CLOCK_MONOTONIC, ns: the rate is used up to then */
    int64_t told_at;    /* when the log said so last */
    bool waiting;       /* for room or a timer: the listener is not polled */
} Accept;

/** The most clients that a server with so many vectors can have, by RLIMIT_NOFILE as it is now. */
unsigned accept_most_clients(unsigned n_vectors);

/** Accepts what waits at a listener, `most` connections at most. */
void accept_turn(struct ServerCore *core, struct Listener *listener, unsigned most);

/** Accepts some of what waits, without having been told at which listener: looks at a few of them,
 *  the next time at others. */
void accept_glance(struct ServerCore *core);

/** Whether the listener's limits let another client in now. */
bool accept_is_due(const struct ServerCore *core, const struct Listener *listener);

/** The same for a connection that was accepted; if only the rate does not, a timer will say when it
 *  does. */
bool accept_may_admit(struct ServerCore *core, struct Listener *listener, int sock);

/** Takes a connection that was accepted: makes a client of it, or refuses it. False if it had hung
 *  up already. */
bool accept_take(struct ServerCore *core, struct Listener *listener, int sock);

/** There may be room again: the listener is polled. */
void accept_resume(struct ServerCore *core, struct Listener *listener);
