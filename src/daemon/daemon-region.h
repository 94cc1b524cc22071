/* SPDX-License-Identifier: MIT */
/* A region of the daemon: a server of the library, and what each of its listeners is for. */
#pragma once

#include "daemon/process/loop.h"
#include "daemon/settings/settings.h"
#include "util/error.h"

struct Daemon;

/** A listener as it runs. Its place is that of the library's. */
typedef struct DaemonListener {
    ListenerSettings settings;
    bool is_going; /* to be made anew by the reload that runs */
} DaemonListener;

typedef struct DaemonRegion DaemonRegion;

struct DaemonRegion {
    struct Daemon *daemon;
    DaemonRegion *next;
    LoopHandler handler;
    IvshmemServer server;
    int state_fd;            /* a memfd with the server's state; -1: it has none */
    RegionSettings settings; /* its own listeners are empty: see below */
    DaemonListener **listeners;
    int n_listeners;       /* places; some may be NULL */
    uint64_t state_called; /* how much of the state was in use at the last keeper_call() */
};

/**
 * Opens the memory and the listeners.
 *
 * @param settings  moved into the region
 * @return 0, or a negative errno with the reason, and nothing is left behind
 */
int daemon_region_open(struct Daemon *daemon, RegionSettings *settings, DaemonRegion **out,
                       ErrorText *error);

/**
 * Goes on with a region that another process has served.
 *
 * @param settings  with its listeners and their indices, and its state, which is taken over unless
 *                  there is an error; all else stays the caller's
 * @return 0, or a negative errno with the reason, and no descriptor is closed
 */
int daemon_region_resume(struct Daemon *daemon, const RegionSettings *settings, DaemonRegion **out,
                         ErrorText *error);

/** Lets go of it: others go on with its clients and descriptors, the state's too. */
void daemon_region_abandon(DaemonRegion *region);

/** Disconnects its clients and removes its paths: they may be something else's from here on. */
void daemon_region_close(DaemonRegion *region);

/** Closes it, when no event names it any more. Takes NULL. */
void daemon_region_free(DaemonRegion *region);

/** Opens a further listener. @return its index or a negative errno with the reason */
int daemon_region_add_listener(DaemonRegion *region, const ListenerSettings *settings,
                               ErrorText *error);

/** The index of the listener with this name, or -1. */
int daemon_region_find_listener(const DaemonRegion *region, const char *name);

/** How many clients it has, observers too. */
unsigned daemon_region_count_clients(const DaemonRegion *region);

/** Closes a listener. @return 0, or a negative errno with the reason: -EBUSY without `force` if it
 * has clients */
int daemon_region_remove_listener(DaemonRegion *region, int listener, bool force, ErrorText *error);
