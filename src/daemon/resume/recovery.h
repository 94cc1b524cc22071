/* SPDX-License-Identifier: MIT */
/*
 * The worker's part in going on after a killed one (keeper.h): which descriptors are whose.
 */
#pragma once

#include "daemon/daemon.h"

/** The descriptors of the process itself: open before anything was served, and kept. */
typedef struct Recovery {
    uint64_t *base; /* set */
    uint32_t n;     /* bits in it */
} Recovery;

/** @param passed  its parcels are closed before a worker is there; others get their numbers
 * @return 0 or a negative errno with the reason */
int recovery_prepare(Recovery *recovery, const Passed *passed, ErrorText *error);
void recovery_free(Recovery *recovery);

/**
 * In a worker that has resumed the daemon: closes what a dead one has left of no use, and makes
 * clients of connections that it had accepted.
 *
 * @return 0 or a negative errno with the reason
 */
int recovery_sort_out(const Recovery *recovery, const Daemon *daemon, ErrorText *error);
