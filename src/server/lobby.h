/* SPDX-License-Identifier: MIT */
/*
 * Connections that have been accepted and are not clients yet.
 *
 * The kernel hands connections over in the order in which they came, whoever made them. One user
 * who connects faster than clients can be set up would fill that queue, and everybody else would
 * wait behind him. So the server empties it at once, which costs little, and sets clients up in
 * turn: one for each user at each listener that has somebody waiting.
 *
 * Who waits here has cost a descriptor, a place among the clients that there can be, and nothing
 * else. It is memory of this process: after a crash, those who wait are connections that the state
 * does not know, as any other that was just accepted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LOBBY_MAX  4096 /* connections; more stay with the kernel */
#define LOBBY_TURN 8    /* clients that are set up in a turn of the loop */

struct ServerCore;
struct Listener;

typedef struct LobbyPlace LobbyPlace;

/** Those of one user at one listener, the first who came first. */
typedef struct LobbyQueue {
    uint32_t listener;
    uid_t uid;
    bool had_turn;     /* in this turn one came that did not have to wait */
    bool was_searched; /* in this turn, for those that have hung up */
    unsigned n;
    LobbyPlace *first, *last;
} LobbyQueue;

typedef struct Lobby {
    LobbyQueue *queues; /* between two turns, none is empty */
    unsigned n_queues, n_allocated;
    unsigned turn; /* whose is next */
    unsigned n;    /* connections */
} Lobby;

/** Hangs up on all who wait. */
void lobby_free(Lobby *lobby);

/** Hangs up on those who came through a listener. */
void lobby_clear(Lobby *lobby, const struct Listener *listener);

/** Names each connection that waits. */
void lobby_each_fd(const Lobby *lobby, void (*named)(void *opaque, int fd), void *opaque);

/** Whether another connection can be accepted from the listener. */
bool lobby_has_room(const struct ServerCore *core, const struct Listener *listener);

/** How many of the user's connections wait, some of which may have hung up meanwhile. */
unsigned lobby_count(const Lobby *lobby, uid_t uid);

/** Drops those of them that have hung up. That costs a system call for each, so it is done once in
 *  a turn, however many come. */
void lobby_drop_hung_up(Lobby *lobby, uid_t uid);

/** Whether a connection of the user need not wait: it is his first in this turn, and none waits. To
 * be called once for each, before lobby_add(). */
bool lobby_goes_first(Lobby *lobby, const struct Listener *listener, uid_t uid);

/** Lets a connection wait. @param sock  taken over if there is no error @return 0 or -ENOMEM */
int lobby_add(Lobby *lobby, const struct Listener *listener, uid_t uid, int sock);

/** Sets clients up, some at a time. */
void lobby_turn(struct ServerCore *core);

/** Whether somebody waits who could be set up now. */
bool lobby_has_work(const struct ServerCore *core);
