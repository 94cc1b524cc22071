/* SPDX-License-Identifier: MIT */
/* The stage "serve": in a worker that a keeper watches, or without one. */
#pragma once

#include "daemon/daemon.h"
#include "daemon/process/keeper.h"
#include "daemon/resume/recovery.h"
#include "daemon/resume/succession.h"
#include "daemon/settings/options.h"

typedef struct Worker {
    Daemon *daemon;
    const Options *options;
    const Recovery *recovery;
    Succession *succession; /* which is freed when it serves */
    Keeper keeper;          /* unless there is to be none */
} Worker;

/** All but the worker is borrowed. @return 0 or a negative errno */
int worker_init(Worker *worker, Daemon *daemon, const Options *options, const Recovery *recovery,
                Succession *succession);

/** Has it ready before there is something to serve, and waits until it is: what is then written to
 * daemon->manifest_fd is what it serves. The process has to be confined. */
void worker_stand_by(Worker *worker);

/** Has it look at what is written there now, and waits until it has. */
void worker_look_ahead(Worker *worker);

/** Serves until a signal comes, and closes the daemon, or leaves it to another process
 *  (daemon->has_left), or to the one that it has not let go. When it serves, whoever has started it
 *  is let go. @return the exit status */
int worker_serve(Worker *worker);
