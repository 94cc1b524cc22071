/* SPDX-License-Identifier: MIT */
/* The life of a client: from an accepted connection to its end. */
#pragma once

#include "ivshmem-server.h"

#include <stdint.h>

struct ServerCore;

/**
 * Makes a client of a connection: a slot, eventfds, an ID, and its first three messages, at once.
 *
 * @param sock       taken over if there is no error
 * @param read_only  it gets the memory for reading only
 * @return 0, or a negative errno, and there is no trace of the client: -EMFILE, -ENFILE,
 *         -ENOMEM, -ENOSPC (no ID left), -EACCES (the memory cannot be opened for reading only)
 */
int client_open(struct ServerCore *core, int sock, const IvshmemServerCredentials *who,
                bool read_only);

/** Ends a client's connection; everybody else is going to be told. `why` is for the
 *  log; NULL if it hung up. */
void client_close(struct ServerCore *core, uint32_t slot, const char *why);

/** Sets the epoll events that are waited for on the client's socket. @return 0 or a negative errno
 */
int client_watch(struct ServerCore *core, uint32_t slot, uint32_t events);

/** Why a client is closed to which nothing can be sent, for client_close(). */
const char *client_describe(int error);
