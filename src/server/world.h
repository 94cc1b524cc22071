/* SPDX-License-Identifier: MIT */
/*
 * Who is there: the IDs that are present, with their eventfds. Each join and departure is a change
 * with a number of its own; the latest STATE_N_CHANGES of them are kept as a list of places to
 * look, so that a client that follows need not search. What is true is in `present` alone.
 */
#pragma once

#include "server/state.h"

/** The client in the slot holds the ID from now on. Its eventfds must be there. */
void world_join(State *state, uint32_t slot, uint32_t id);

/** Nobody holds the ID any more. */
void world_leave(State *state, uint32_t id);

/** The slot of the client that holds the ID, which must be present. */
static inline uint32_t world_holder(const State *state, uint32_t id)
{
    return state->holders[id];
}

/** Whether change number n is still listed. */
static inline bool world_lists(const State *state, uint64_t n)
{
    return state->header->n_changes - n <= STATE_N_CHANGES;
}
