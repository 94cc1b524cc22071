/* SPDX-License-Identifier: MIT */
/*
 * The record of what the daemon is, for whoever goes on with it: every worker comes up from this,
 * the first and those after a crash, and so does the process that takes over. It lies in the
 * manifest (manifest.h), but for the regions' own states.
 */
#pragma once

#include "daemon/daemon.h"

/** What record_write() writes down: the caller's, or NULL if there is no memory. */
json_t *record_text(const Daemon *daemon);

/**
 * Writes down what the daemon is now: in daemon->manifest_fd, if it has one. To be called whenever
 * a region, a listener or what it is for has changed.
 *
 * @return 0 or a negative errno: what was written before is still there
 */
int record_write(const Daemon *daemon);

/**
 * Goes on as what has been written down, with a new loop. A region that no worker can go on
 * with is said, and left out.
 *
 * @return 0, or a negative errno with the reason, and everything is as it was
 */
int record_resume(Daemon *daemon, ErrorText *error);

/**
 * What has been written down, in a process that does not go on itself: the settings of its regions,
 * and the pidfile.
 *
 * @return 0 or a negative errno with the reason; the caller frees the configuration
 */
int record_read(Daemon *daemon, Config *config, ErrorText *error);

/** Lets go of everything that is written down: its descriptors stay open, and nothing else does. */
void record_abandon(Daemon *daemon);

/** Names the descriptors of all that is written down, the manifest's own too. */
void record_each_fd(const Daemon *daemon, void (*named)(void *opaque, int fd), void *opaque);

/** The same, but for those of clients that have been passed ahead (ivshmem_server_pass()). */
void record_each_fd_left(const Daemon *daemon, void (*named)(void *opaque, int fd), void *opaque);

/** Names those that the daemon has beside them, for this process alone. */
void record_each_own_fd(const Daemon *daemon, void (*named)(void *opaque, int fd), void *opaque);
