/* SPDX-License-Identifier: MIT */
/*
 * A way in: a listening socket and what those get who come through it. The protocol tells the
 * server nothing about a client, so the socket that it comes in on must.
 *
 * A listener may hold a reserved identity: a slot whose ID and eventfds are there from the start,
 * announced to everybody, and never withdrawn while the listener exists. Its client comes and goes
 * without anybody else being told. Or it may be for observers: they are told of everybody and
 * announced to nobody, and use no ID up.
 */
#pragma once

#include "ivshmem-server.h"
#include "server/accept.h"
#include "server/listen-socket.h"

#define LISTENERS_MAX 4096 /* of one region */

struct ServerCore;

typedef struct Listener {
    bool in_use; /* set last, cleared first */
    ListenSocket socket;
    char name[IVSHMEM_SERVER_NAME_SIZE];
    uint32_t index; /* in the state's table, and in its clients */
    uint32_t n_vectors;
    uint32_t max_clients; /* at once; 0: no limit of its own */
    uint32_t n_clients;
    uint32_t reserved_slot;       /* STATE_NO_SLOT: no identity is reserved */
    uint64_t n_joins, n_refusals; /* ever */
    bool observers;
    bool read_only;
    Accept accept;
} Listener;

/**
 * Opens a listener. The text of an error is kept for ivshmem_server_error().
 *
 * @param socket  locked already, and taken over unless there is an error; NULL: the path is locked
 *                here
 * @return its index or a negative errno
 */
int listener_add(struct ServerCore *core, const IvshmemServerListenerConfig *config,
                 ListenSocket *socket);

/** Closes a listener that has no clients; a reserved identity departs. */
void listener_remove(struct ServerCore *core, Listener *listener);

/** The listener with an index, or NULL. */
Listener *listener_at(const struct ServerCore *core, uint32_t index);

/** Whether one more client may come in here, on top of those that there are and of `n_others` that
 * wait, `n_others_here` of them at this listener. */
bool listener_has_room(const struct ServerCore *core, const struct Listener *listener,
                       uint32_t n_others, uint32_t n_others_here);

/** There may be room again, at all of them. */
void listeners_resume(struct ServerCore *core);
