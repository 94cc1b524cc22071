/* SPDX-License-Identifier: MIT */
/* The stage "serve": in a worker that a keeper watches, or without one. */
#pragma once

#include "daemon/daemon.h"
#include "daemon/resume/recovery.h"
#include "daemon/settings/options.h"

/** Serves until a signal comes, and closes the daemon, or leaves it to another process
 *  (daemon->has_left). @return the exit status */
int worker_serve(Daemon *daemon, const Options *options, const Recovery *recovery);
