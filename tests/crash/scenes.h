/* SPDX-License-Identifier: MIT */
/*
 * What a worker is interrupted in: something that a few clients do while it stands still, and that
 * it has to deal with once it goes on.
 */
#pragma once

#include "crowd.h"
#include "server/state.h"

#define SCENE_CLIENTS 6 /* places in the crowd; the last is the one that comes and goes */

typedef struct Scene {
    const char *name;
    void (*prepare)(Crowd *crowd, const State *state); /* everybody has settled before and after */
    void (*act)(Crowd *crowd);                         /* while the worker stands still */
    bool next; /* the worker is killed before it can deal with it: it is the next one that does */
} Scene;

/** The scene of this name, or NULL. */
const Scene *scene_find(const char *name);
