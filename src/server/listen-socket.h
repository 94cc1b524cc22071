/* SPDX-License-Identifier: MIT */
/*
 * A listening Unix socket and the right to its path.
 *
 * Whoever holds the lock on PATH.lock owns PATH: between two of our servers there is no race over a
 * socket that a dead one left behind. The lock file stays when the server ends; removing it would
 * bring the race back. A server that knows nothing of the lock, such as QEMU's, is found by
 * connecting to it.
 */
#pragma once

#include "util/error.h"

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#define LISTEN_SOCKET_LOCK ".lock" /* behind the path */

typedef struct ListenSocket {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int fd;
    int lock_fd;
    dev_t device; /* of the socket's inode: what is removed at the end is ours */
    ino_t inode;  /* 0: somebody else made the socket, and it stays */
} ListenSocket;

/** What is to be listened at, and who may connect by the file's mode. */
typedef struct ListenSpec {
    const char *path;
    int backlog;
    int mode;  /* -1: 0777 less the umask, as QEMU's */
    uid_t uid; /* (uid_t)-1: we */
    gid_t gid; /* (gid_t)-1: ours */
    int fd;    /* the caller's, that listens at the path already: mode, uid and gid are its own; -1:
                  a socket is to be made */
} ListenSpec;

/**
 * Looks for what the next two would fail at, and changes nothing. Whether a server listens there is
 * not asked: it would notice.
 *
 * @return as listen_socket_open()
 */
int listen_socket_check(const ListenSpec *spec, ErrorText *error);

/**
 * Locks the path: from here on no other of our servers can listen there. To be called before
 * anything else that two servers could both have, such as the memory.
 *
 * @return 0, or a negative errno with error->text set and nothing changed but the lock file
 */
int listen_socket_lock(ListenSocket *self, const ListenSpec *spec, ErrorText *error);

/**
 * Removes a dead server's socket from the locked path, binds and listens. Nobody can connect before
 * the socket has its owner and mode. Or takes a duplicate of spec->fd instead.
 *
 * @return 0, or a negative errno with error->text set, and nothing has changed
 */
int listen_socket_open(ListenSocket *self, const ListenSpec *spec, ErrorText *error);

/** Removes a dead server's socket from a path that nobody has locked. @return as
 * listen_socket_open() */
int listen_socket_clear(const ListenSpec *spec, ErrorText *error);

#define LISTEN_SOCKET_NONE ((ListenSocket){.fd = -1, .lock_fd = -1})

/** Removes the socket, if we made it and it is still there, and lets go of the path. Takes one that
 * is not open. */
void listen_socket_close(ListenSocket *self);
