/* SPDX-License-Identifier: MIT */
/*
 * What a region or a listener has in the file system while it is being made or removed: the name of
 * a POSIX object, sockets, links. The manifest says so before any of that exists, and until all of
 * it has gone or belongs to something that the manifest names. Whoever goes on after a killed
 * worker removes it.
 *
 * There is one such change at a time. Those that begin one write it down (record_write()), and
 * write again when it has ended.
 */
#pragma once

#include "daemon/daemon.h"

/** A region is to be made: its object is ours if there is none of its name yet.
 * @return 0 or -ENOMEM */
int unfinished_coming(Daemon *daemon, const RegionSettings *settings);

/** A region is to be removed. @return 0 or -ENOMEM */
int unfinished_going(Daemon *daemon, const DaemonRegion *region);

/** A listener is to be made or removed. @return 0 or -ENOMEM */
int unfinished_listener(Daemon *daemon, const ListenerSettings *settings);

/** Nothing is unfinished any more. */
void unfinished_end(Daemon *daemon);

/** In a worker that goes on: closes a descriptor that nobody knows of, and removes the name of an
 * unfinished region's memory, if it is that. */
void unfinished_close(const Daemon *daemon, int fd);

/** In a worker that goes on, when those are closed: removes the rest. */
void unfinished_clear(Daemon *daemon);
