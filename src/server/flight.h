/* SPDX-License-Identifier: MIT */
/*
 * Descriptors on their way.
 *
 * The kernel charges a descriptor that was sent and not yet received to the sender's user, and
 * refuses a server that has neither CAP_SYS_RESOURCE nor CAP_SYS_ADMIN to send any more with
 * ETOOMANYREFS once RLIMIT_NOFILE of them are on their way (too_many_unix_fds() in net/core/scm.c).
 * Clients that do not read would use that allowance up, and nobody else would get anything. So it
 * is a budget, of L:
 *
 * - The three first messages (one descriptor) are sent whatever the budget says.
 * - While less than L/4 are on their way in all, nobody is asked how much he has read: a client
 *   may have what its socket holds.
 * - While less than L/2 are, it may have a whole batch. So nobody who reads is slowed down unless
 *   others do not.
 * - Otherwise all may have the same: what is left of 3L/4 by the number of clients, but 2 at least,
 *   for which the last quarter is kept; and whoever had more and has read it may have that again,
 *   which adds nothing to the sum: it keeps the batches large when many read, only not as fast as
 *   we send.
 *
 * So as long as there are no more than L/8 of them, those who do not read leave something for
 * whoever does, all at once or one after the other: they hold 3L/4 and 2 each. A server with more
 * clients than that relies on ETOOMANYREFS being retried, and so does a process with several
 * servers: each of them counts its own.
 *
 * How many a client has not read is known as an upper bound: what was sent since its queue was last
 * seen empty, or what the queue's size says (SIOCOUTQ gives the memory that is charged to our
 * socket; what one message costs is measured at start).
 */
#pragma once

#include "server/state.h"

typedef struct Flight {
    bool asked;            /* whether we are limited: at the first use, when a host program has
                              dropped what it drops */
    bool limited;          /* there is such a limit for us */
    uint32_t allowance;    /* L */
    uint64_t unread;       /* sum over the clients */
    uint32_t message_cost; /* what one unread message adds to SIOCOUTQ */
    int default_sndbuf;    /* as SO_SNDBUF wants it to be set */
} Flight;

/** @return 0 or a negative errno */
int flight_init(Flight *flight);

/** How many descriptors the client may be sent now. */
uint32_t flight_window(Flight *flight, const State *state, Client *client);

/** That many have been sent. */
static inline void flight_sent(Flight *flight, Client *client, uint32_t n_fds)
{
    client->unread += n_fds;
    flight->unread += n_fds;
}

/** The client has gone. */
static inline void flight_forget(Flight *flight, Client *client)
{
    flight->unread -= client->unread;
    client->unread = 0;
}

/** An upper bound of how many descriptors the client has not read. */
uint32_t flight_unread(Flight *flight, Client *client);

/** An upper bound of how many messages wait in a connection. */
uint32_t flight_queued(const Flight *flight, int sock);

/** An upper bound of how many messages the client has not read. */
uint32_t flight_messages(const Flight *flight, const Client *client);

/** Whether the client has read everything that was sent to it. */
bool flight_is_drained(const Client *client);

/**
 * Makes EPOLLOUT wait until the client has read all but one of its messages, and makes it normal
 * again. (A Unix socket is writable while a quarter of its send buffer is in use at most, so the
 * buffer is set to the smallest there is.)
 */
void flight_park(const Flight *flight, const Client *client);
void flight_unpark(const Flight *flight, const Client *client);
