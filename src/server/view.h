/* SPDX-License-Identifier: MIT */
/*
 * What one client has been told: two bits for each ID.
 *
 *     told spent
 *       0    0    unknown: it has never heard of it
 *       1    0    told: it has been sent the first of the ID's vectors, perhaps all of them
 *       0    1    spent: it has been told that the ID has gone, and must not hear of it again;
 *                 its own ID is spent from the start: nobody is told of himself as of a peer
 *       1    1    stale: told of an earlier holder of the ID. Its departure is due although the ID
 *                 is present again; this happens only when IDs have run out (ids.h)
 *
 * What a client has still to hear is the difference to the world: arrivals are the IDs that are
 * present and unknown; departures those that are told and not present, or stale.
 */
#pragma once

#include "server/ids.h"
#include "server/state.h"

typedef enum ViewDue {
    VIEW_DUE_NOTHING,
    VIEW_DUE_ARRIVAL,
    VIEW_DUE_DEPARTURE,
} ViewDue;

static inline ViewWord *view_word(const State *state, uint32_t slot, uint32_t id)
{
    size_t row = slot / VIEW_TILE_CLIENTS;
    size_t tile = row * (WIRE_N_IDS / VIEW_TILE_IDS) + id / VIEW_TILE_IDS;
    size_t line = slot % VIEW_TILE_CLIENTS;

    return state->views + tile * VIEW_TILE_WORDS + line * (VIEW_TILE_IDS / 64) +
           id % VIEW_TILE_IDS / 64;
}

static inline uint64_t view_arrivals(uint64_t present, ViewWord word)
{
    return present & ~(word.told | word.spent);
}

static inline uint64_t view_departures(uint64_t present, ViewWord word)
{
    return word.told & (~present | word.spent);
}

static inline ViewDue view_due(const State *state, uint32_t slot, uint32_t id)
{
    uint64_t present = state->present[id / 64], bit = UINT64_C(1) << (id % 64);
    ViewWord word = *view_word(state, slot, id);

    if (view_arrivals(present, word) & bit)
        return VIEW_DUE_ARRIVAL;
    return view_departures(present, word) & bit ? VIEW_DUE_DEPARTURE : VIEW_DUE_NOTHING;
}

/** The lowest ID from `from` on of which something is due, or the world's id_limit. */
uint32_t view_next_due(const State *state, uint32_t slot, uint32_t from);

/** Of how many IDs something is due. */
uint32_t view_count_due(const State *state, uint32_t slot);

/** unknown -> told, and back (if it was not sent after all) */
void view_tell(State *state, Ids *ids, uint32_t slot, uint32_t id);
void view_untell(State *state, Ids *ids, uint32_t slot, uint32_t id);

/** told or stale -> spent, and back */
void view_spend(State *state, uint32_t slot, uint32_t id);
void view_unspend(State *state, uint32_t slot, uint32_t id);

/** unknown -> spent: the client's own ID */
void view_spend_own(State *state, Ids *ids, uint32_t slot, uint32_t id);

/** told -> stale, if it is told: somebody else is about to hold the ID */
void view_outdate(State *state, uint32_t slot, uint32_t id);

/** Everything becomes unknown. */
void view_clear(State *state, Ids *ids, uint32_t slot);
