/* SPDX-License-Identifier: MIT */
/*
 * The inside of a client that is connected. Layers, each using those above it only:
 *
 *     decoder, channel   messages
 *     roster, report     the tables of peers; logging and errors
 *     settle             when a peer's vectors are all there
 *     incoming           what the server's messages do
 *     client, dispatch   connect and close; the event loop's side
 *     notify, memory     doorbells; the mapping
 */
#pragma once

#include "client/channel.h"
#include "client/decoder.h"
#include "ivshmem-client.h"

struct IvshmemClientPrivate {
    Decoder decoder;
    Channel channel;
    IvshmemClientPeer *by_id[WIRE_N_IDS]; /* the others and &client->local; NULL: not present */
    int epoll_fd;                         /* has the socket, the timer and the rung vectors in it */
    int timer_fd;                         /* settle's */
    bool timer_armed;
    bool ready;                  /* the set-up is over */
    IvshmemClientPeer *settling; /* whose vectors may still be coming; at most one at a time */
    unsigned most_vectors;       /* of any other peer so far */
    bool dispatching;
    bool close_wanted; /* by a callback */
};

/* What an event of epoll_fd is about: a vector's number, or one of these. */
#define EVENT_SERVER IVSHMEM_CLIENT_MAX_VECTORS
#define EVENT_TIMER  (IVSHMEM_CLIENT_MAX_VECTORS + 1)

/** Adds a descriptor to epoll_fd for reading. */
int link_watch(IvshmemClient *client, int fd, uint32_t about);

/** Calls a peer callback, if there is one and no callback has closed the client yet. */
static inline void link_tell(const IvshmemClient *client, IvshmemClientPeerCb callback,
                             const IvshmemClientPeer *peer)
{
    if (callback && !client->priv->close_wanted)
        callback(client, peer, client->peer_arg);
}

/* report.c */

/** A line for the log callback, or for standard output if there is none and `verbose` is set. */
__attribute__((format(printf, 3, 4))) void link_log(const IvshmemClient *client, int priority,
                                                    const char *format, ...);

/** Stores a fault with its words and logs it. Returns r. */
__attribute__((format(printf, 4, 5))) int link_fail(IvshmemClient *client, IvshmemClientFault fault,
                                                    int r, const char *format, ...);

void link_clear_error(IvshmemClient *client);

/* roster.c */

/** Adds the peer with an ID at the list's end. Returns NULL without memory. */
IvshmemClientPeer *roster_add(IvshmemClient *client, uint32_t id);

/** Takes a peer out of the list, closes its eventfds and frees it. Not for the local one. */
void roster_remove(IvshmemClient *client, IvshmemClientPeer *peer);

/** Keeps the eventfd as the peer's next vector. On -ENOMEM it stays the caller's. */
int roster_add_vector(IvshmemClientPeer *peer, int fd);

/** Removes all others and empties the local one. */
void roster_clear(IvshmemClient *client);

/* settle.c */

/** There is a message about this peer. */
void settle_message(IvshmemClient *client, const IvshmemClientPeer *peer);

/** The peer has got another vector. */
void settle_vector(IvshmemClient *client, IvshmemClientPeer *peer);

/** The peer is about to be removed. Returns whether anybody was told that it is there. */
bool settle_departure(IvshmemClient *client, const IvshmemClientPeer *peer);

/** All that has come is read, and there was something (or the wait for it begins). */
int settle_dry(IvshmemClient *client);

/** There has been nothing to be read for as long as the timer was set to. */
int settle_timeout(IvshmemClient *client);

/* notify.c */

/**
 * Reads a vector's eventfd until there is no more, without waiting.
 *
 * @return 1 if it had been rung, 0 if not, a negative errno if it is none that can be read
 */
int link_take_rings(int fd);

/* incoming.c */

/**
 * Reads up to `max` messages and does what they say.
 *
 * @return how many there were, fewer than `max` if there are no more (or a callback has closed the
 *         client), or a negative errno, with the fault stored: the connection is of no further use
 */
int incoming_receive(IvshmemClient *client, unsigned max);

/** Closes the connection and keeps everything that came through it. */
void incoming_drop(IvshmemClient *client);
