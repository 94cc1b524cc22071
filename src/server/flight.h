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
 * - While less than 5L/8 are, so may whoever has read what he got.
 * - Otherwise all may have the same: what is left of 3L/4 by the number of clients, but 2 at least,
 *   for which the last quarter is kept; and whoever had more and has read it may have that again,
 *   which adds nothing to the sum.
 *
 * So as long as there are no more than L/8 of them, those who do not read leave something for
 * whoever does, all at once or one after the other, also if they have read for a while: they hold
 * 3L/4 and 2 each. A server with more clients than that relies on ETOOMANYREFS being retried.
 *
 * The kernel counts per user. So there is one budget for all the servers that a thread serves, if
 * whoever has them says so (flight_share(); the daemon does), with their clients together. A server
 * that nobody says it of has one of its own, as in a host program, which may serve each of its
 * servers in another thread. Those, and several processes of one user, rely on the retry, too.
 *
 * How many a client has not read is known as an upper bound: what was sent since its queue was last
 * seen empty, or what the queue's size says (SIOCOUTQ gives the memory that is charged to our
 * socket; what one message costs is measured at start). The bound of one who has nothing more to
 * hear stays above the truth, and the sum with it. So when a client could be sent more than its
 * share and the sum is L/2 or more, others are looked at, one after the other in all servers, until
 * it is less. A look must be earned by LOOK_PRICE descriptors that were sent, or that looks have
 * found to be read: that bounds what it costs when they really do not read.
 */
#pragma once

#include "server/flight-budget.h"
#include "server/state.h"

/** A server's part in a budget. */
typedef struct Flight {
    FlightBudget *budget;
    FlightBudget own; /* unless it shares another */
    const State *state;
    struct Flight *next;
    uint64_t unread; /* of its clients, and those that linger */
    uint32_t n_clients;
    uint32_t message_cost; /* what one unread message adds to SIOCOUTQ */
    int default_sndbuf;    /* as SO_SNDBUF wants it to be set */
} Flight;

/** Begins with a budget of its own.
 *  @param state  of the server's clients, borrowed @return 0 or a negative errno */
int flight_init(Flight *flight, const State *state);

/** From now on the server counts in this budget, which is all zero or has been shared before, and
 *  stays until flight_leave(). All servers that share one are one thread's. */
void flight_share(Flight *flight, FlightBudget *budget);

/** Nothing of it counts any more. Takes one that was never begun. */
void flight_leave(Flight *flight);

/** How many descriptors the client may be sent now. */
uint32_t flight_window(Flight *flight, Client *client);

/** The same if that was not enough, by a closer look, at others too: `window` at least. */
uint32_t flight_widen(Flight *flight, Client *client, uint32_t window);

/** That many more are on their way, or fewer, of nobody who is a client. */
void flight_count(Flight *flight, int64_t n_fds);

/** A client has come. */
void flight_join(Flight *flight, Client *client);

/** That many have been sent. */
void flight_sent(Flight *flight, Client *client, uint32_t n_fds);

/** The client has gone. */
void flight_forget(Flight *flight, Client *client);

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
