/* SPDX-License-Identifier: MIT */
/*
 * The daemon: regions, each a server of the library, on one loop. It knows nothing of where its
 * regions come from.
 */
#pragma once

#include "daemon/control/control.h"
#include "daemon/daemon-region.h"
#include "daemon/passed.h"
#include "daemon/process/daemonize.h"
#include "daemon/process/loop.h"
#include "daemon/process/pidfile.h"
#include "daemon/resume/ahead.h"
#include "daemon/settings/config.h"
#include "server/flight-budget.h"

typedef struct Daemon {
    Loop loop;
    DaemonRegion *regions; /* in the order in which they were made */
    unsigned n_regions;
    FlightBudget flight; /* one for all regions: the kernel counts per user */
    bool shows_names;    /* log lines say which region they are of */
    bool keeps_state;    /* regions keep what they must remember where a next process finds it */
    int manifest_fd;     /* where the rest of that is written (record.h); -1: nowhere */
    bool can_change;     /* regions and listeners can be made while it runs */
    bool is_confined;    /* rights have been given up */
    ConfigContext context;
    const Passed *passed;    /* sockets that are not ours to make */
    const char *config_path; /* NULL: there is no configuration */
    int64_t started_at;      /* CLOCK_REALTIME, ns */
    Daemonize daemonize;     /* with which whoever has started this process is let go */
    pid_t pid;               /* of the process that was started: the keeper, if there is one */
    Pidfile pidfile;
    bool pidfile_is_new; /* this process has made it */
    int predecessor_fd;  /* to the process that this one takes over from (succession.h); -1: none */
    int successor_fd;    /* to the one that takes over from this one, which must only wait; -1 */
    bool is_restored;    /* what it serves comes from the service manager's store (store.h) */
    bool is_refused;     /* whoever serves does not let this process go on: no worker tries again */
    bool is_alone;       /* whoever served before has been told that this process does */
    bool stores;         /* it goes there at the end */
    bool can_leave;      /* another process may ask for it, to take over */
    bool is_terminated;  /* by SIGTERM, as a service manager does it */
    bool has_left;       /* another process has taken over: nothing is to be closed or removed */
    unsigned n_killed;   /* workers before this one */
    json_t *unfinished;  /* what is being made or removed (unfinished.h); NULL: nothing */
    Ahead ahead;         /* states that are mapped already, in a process that goes on with them */
    unsigned n_reloads;  /* how often the reload that is under way was begun; 0: none is */
    LoopHandler signals;
    Control control; /* if it is open */
    int status;      /* why the loop has ended: 0 or a negative errno */
} Daemon;

/** Another process, at the end of this connection, has asked for everything, and there may be
 * something to read from it: hands it over, and ends the loop, or goes on. @return whether the
 * connection is still of use */
bool daemon_hand_over(Daemon *daemon, int sock);

/** Signals that end the daemon are waited for from here on. @return 0 or a negative errno with the
 * reason */
int daemon_init(Daemon *daemon, ErrorText *error);

/** Closes all regions. Takes one of which daemon_init() has failed. */
void daemon_close(Daemon *daemon);

/**
 * Opens a region with its listeners and serves it.
 *
 * @param settings  moved into the region, whether or not it can be opened
 * @return 0, or a negative errno with the reason, and nothing has changed
 */
int daemon_add_region(Daemon *daemon, RegionSettings *settings, DaemonRegion **out,
                      ErrorText *error);

/** Ends a region: its clients are disconnected. It is not valid afterwards. */
void daemon_remove_region(Daemon *daemon, DaemonRegion *region);

/** Whether no listener has a path. @return 0, or -EADDRINUSE with the reason */
int daemon_check_path(const Daemon *daemon, const char *path, ErrorText *error);

DaemonRegion *daemon_find_region(const Daemon *daemon, const char *name);

/** Tells the service manager that it serves, and what. */
void daemon_tell_ready(const Daemon *daemon);

/** Serves until a signal comes or a region fails. @return 0 or a negative errno */
int daemon_run(Daemon *daemon);
