/* SPDX-License-Identifier: MIT */
/*
 * What a process that stands by maps of the regions' states before it is the worker: half of what
 * the next worker takes to go on is page faults otherwise.
 */
#pragma once

#include "daemon/settings/config.h"
#include "ivshmem-server.h"

typedef struct AheadState {
    int fd;
    IvshmemServerMap *map;
} AheadState;

/** All zero is an empty one. */
typedef struct Ahead {
    AheadState *states;
    unsigned n;
} Ahead;

/** Maps the states of these regions; what is mapped already of the same, where it has grown. Lets
 * go of all others. @param stop  asked now and then: whether that is enough */
void ahead_look(Ahead *ahead, const Config *config, bool (*stop)(void));

/** Takes one out. @return the caller's; NULL: it is not mapped */
IvshmemServerMap *ahead_take(Ahead *ahead, int state_fd);

void ahead_free(Ahead *ahead);
