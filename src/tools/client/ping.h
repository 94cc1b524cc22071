/* SPDX-License-Identifier: MIT */
/* Round trips to a peer that runs `pong`. */
#pragma once

#include "tools/client/link.h"

typedef struct PingRun {
    unsigned peer;
    bool spin;
    int interval_ms;
    int timeout_ms; /* for one answer */
    uint64_t count; /* round trips wanted, 1 or more */
    int64_t *times; /* room for so many, in nanoseconds; the caller's */
    /* What has come of it. */
    uint64_t n;       /* of them are there */
    uint64_t n_again; /* doorbells that were rung a second time or more */
    unsigned pong_id; /* as the peer says, if n > 0 */
    unsigned pong_vectors;
} PingRun;

/**
 * Makes the round trips and leaves the block empty.
 *
 * @return 0; -ETIMEDOUT if an answer has not come in time; -EINTR if it is to end; or what
 *         ivshmem_port_ring() said
 */
int ping_run(Link *link, PingRun *run);
