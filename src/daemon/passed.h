/* SPDX-License-Identifier: MIT */
/*
 * Sockets that the service manager has made for us and passes at the start (sd_listen_fds(3)): the
 * descriptors from 3 on, as many as LISTEN_FDS says. They are kept as long as the process lives, so
 * that a listener can be removed and made again.
 *
 * A name in LISTEN_FDNAMES that begins with PASSED_PARCEL is of what we have stored ourselves,
 * unless it is a listening socket: a socket unit's name is the default name of what it passes.
 */
#pragma once

#include "util/error.h"

#include <sys/un.h>

struct Daemon;

#define PASSED_PARCEL "ivshmem-"
#define PASSED_MAX    64 /* sockets; a region's observers, its listeners and the control socket */

#define PASSED_MAX_PARCELS 64

typedef struct PassedSocket {
    int fd;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
} PassedSocket;

/** What we have stored ourselves (store.h). */
typedef struct PassedParcel {
    int fd;
    int manifest; /* the number behind PASSED_PARCEL in its name */
} PassedParcel;

typedef struct Passed {
    PassedSocket sockets[PASSED_MAX];
    unsigned n;
    PassedParcel parcels[PASSED_MAX_PARCELS];
    unsigned n_parcels;
} Passed;

/**
 * Takes what was passed to this process. To be called before anything else opens a descriptor.
 *
 * @param n_fds  set to how many descriptors were passed, from 3 on: all others are not ours
 * @return 0, or a negative errno with the reason: one of them can be no listener
 */
int passed_take(Passed *passed, unsigned *n_fds, ErrorText *error);

/** The socket that listens at a path, which stays ours, or -1. */
int passed_find(const Passed *passed, const char *path);

/** Looks whether each of them is a listener's, or the control socket. @return 0, or -EINVAL with
 * the reason */
int passed_check(const Passed *passed, const struct Daemon *daemon, ErrorText *error);
