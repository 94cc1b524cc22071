/* SPDX-License-Identifier: MIT */
#include "server/world.h"

#include <assert.h>

static void note_change(State *state, uint32_t id)
{
    state->changes[state->header->n_changes % STATE_N_CHANGES] = id;
    state->header->n_changes++;
}

void world_join(State *state, uint32_t slot, uint32_t id)
{
    assert(!bitmap_test(state->present, id));
    state->holders[id] = slot;
    bitmap_set(state->present, id);
    if (id >= state->header->id_limit)
        state->header->id_limit = id + 1;
    note_change(state, id);
}

void world_leave(State *state, uint32_t id)
{
    assert(bitmap_test(state->present, id));
    bitmap_clear(state->present, id);
    note_change(state, id);
}
