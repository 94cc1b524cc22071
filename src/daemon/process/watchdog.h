/* SPDX-License-Identifier: MIT */
/*
 * The service manager's watchdog (WatchdogSec=), which ends a service that has not said for so long
 * that it lives. The worker says so from its loop, twice in that time: a worker that hangs is
 * noticed. It also notes the time where the keeper can see it. After three quarters of the
 * manager's time the keeper takes the worker for hung and kills it, and the next one goes on: the
 * manager, which would end everything, acts only when the keeper hangs too.
 *
 * Nobody wakes up for this unless the manager asks for it.
 */
#pragma once

#include "daemon/process/loop.h"

#include <time.h>

/** Reads what the manager asks for. To be called once, before there is a worker. @return 0 or a
 * negative errno */
int watchdog_open(void);

/** The worker's: says now, and from here on in each half of the time, that it lives. @return 0 or
 * a negative errno */
int watchdog_attach(Loop *loop);

/** The keeper's: a new worker begins, or an old one ends. It has the whole time for that. */
void watchdog_begin(void);

/** How long the keeper may wait before it looks whether the worker lives; NULL: for ever. */
const struct timespec *watchdog_wait(struct timespec *time);

/** Whether the worker has been silent for too long. */
bool watchdog_is_late(void);

/** For a keeper that holds everything without a worker: says that it lives, and how long it may
 * wait before it says so again; NULL: for ever. */
const struct timespec *watchdog_stand_in(struct timespec *time);
