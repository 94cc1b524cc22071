/* SPDX-License-Identifier: MIT */
/* The life of a client: from an accepted connection to its end. */
#pragma once

#include "ivshmem-server.h"

#include <stdint.h>

struct Listener;
struct ServerCore;

/**
 * Makes a client of a connection: a slot, eventfds, an ID, unless the listener has them already or
 * its clients are observers; and its first three messages, at once.
 *
 * @param sock       taken over if there is no error
 * @param read_only  it gets the memory for reading only
 * @return 0, or a negative errno, and there is no trace of the client: -EMFILE, -ENFILE, -ENOMEM,
 *         -ENOSPC (no ID left), -EACCES (the memory cannot be opened for reading only), -EBUSY (the
 *         reserved identity has a living client)
 */
int client_open(struct ServerCore *core, struct Listener *listener, int sock,
                const IvshmemServerCredentials *who, bool read_only);

/** Ends a client's connection; everybody else is going to be told, unless its identity is reserved.
 *  `why` is for the log; NULL if it hung up. */
void client_close(struct ServerCore *core, uint32_t slot, const char *why);

/** Makes the listener's reserved identity. @return 0 or a negative errno: -EMFILE, -ENFILE,
 * -ENOMEM; -ENOSPC: there are as many clients and reserved identities as there can be */
int client_reserve(struct ServerCore *core, struct Listener *listener, uint32_t id);

/** The reserved identity departs. Nobody is connected to it. */
void client_unreserve(struct ServerCore *core, struct Listener *listener);

/** Whether a client has hung up, or has written something, which breaks the protocol. Launchers
 * probe a socket by connecting and hanging up at once: such a connection costs no ID. */
bool client_is_gone(int sock);

/** Sets the epoll events that are waited for on the client's socket. @return 0 or a negative errno
 */
int client_watch(struct ServerCore *core, uint32_t slot, uint32_t events);

/** Why a client is closed to which nothing can be sent, for client_close(). */
const char *client_describe(int error);
