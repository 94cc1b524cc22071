/* SPDX-License-Identifier: MIT */
/* A state that is mapped, page by page, before its process goes on from it. */
#pragma once

#include "ivshmem-server.h"
#include "server/state.h"

/** Takes the mapping out, of the state in that memfd. Frees the rest. Takes NULL. @return whether
 * it is of that state, and that can be gone on from: if not, nothing is set */
bool map_take(IvshmemServerMap *map, int state_fd, State *state);
