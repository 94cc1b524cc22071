/* SPDX-License-Identifier: MIT */
/*
 * The worker's part in going on after a killed one (keeper.h): which descriptors are whose.
 */
#pragma once

#include "daemon/daemon.h"

/** The descriptors that were open when no worker had been started yet, but those of the servers. */
typedef struct Recovery {
    uint64_t *base; /* set */
    uint32_t n;     /* bits in it */
} Recovery;

/** @return 0 or a negative errno with the reason */
int recovery_prepare(Recovery *recovery, const Daemon *daemon, ErrorText *error);
void recovery_free(Recovery *recovery);

/**
 * In a new worker: recovers all regions, closes what a dead worker has left of no use, and makes
 * clients of connections that it had accepted.
 *
 * @return 0 or a negative errno with the reason
 */
int recovery_go_on(const Recovery *recovery, Daemon *daemon, ErrorText *error);
