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
 * Of a block of IDs of which it knows none, nothing is stored. Nor is of one of which it has seen
 * every ID go: it is sealed. A client that stays while others come and go knows many such blocks.
 * All else is in tiles. What a tile and the tables of its IDs take is given back when somebody has
 * sealed the block and nobody keeps it in a tile, or its IDs in a counter.
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

/** Where the word is, if the client keeps its block. */
static inline ViewWord *view_cell(const State *state, uint32_t slot, uint32_t id)
{
    size_t tile = (size_t)(slot / VIEW_TILE_CLIENTS) * N_BLOCKS + id / BLOCK_IDS;
    size_t line = slot % VIEW_TILE_CLIENTS;

    return state->views + tile * VIEW_TILE_WORDS + line * (BLOCK_IDS / 64) + id % BLOCK_IDS / 64;
}

/** What the client has been told of the ID's 64. */
static inline ViewWord view_word(const State *state, uint32_t slot, uint32_t id)
{
    const Client *client = &state->clients[slot];
    uint64_t block = UINT64_C(1) << (id / BLOCK_IDS);

    if (client->kept & block)
        return *view_cell(state, slot, id);
    return (ViewWord){.spent = client->sealed & block ? UINT64_MAX : 0};
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
    ViewWord word = view_word(state, slot, id);

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
void view_spend(State *state, Ids *ids, uint32_t slot, uint32_t id);
void view_unspend(State *state, Ids *ids, uint32_t slot, uint32_t id);

/** unknown -> spent: the client's own ID */
void view_spend_own(State *state, Ids *ids, uint32_t slot, uint32_t id);

/** told -> stale, if it is told: somebody else is about to hold the ID */
void view_outdate(State *state, uint32_t slot, uint32_t id);

/** Visits what is in use of the tiles of the first `n_slots`: those that lie side by side at once.
 * False, and it goes no further, if a visit gives that. */
bool view_each_part(const State *state, uint32_t n_slots,
                    bool (*visit)(void *opaque, const void *part, size_t size), void *opaque);

/** Has all that mapped in few calls, before it is read: pages_fetch(). */
void view_fetch(const State *state);

/**
 * What all clients know, for a process that has not followed it: which blocks they have sealed. Of
 * the others, which IDs are taken and how many know each is left to view_settle().
 *
 * @param ids  new
 */
void view_survey(const State *state, Ids *ids);

/** Counts a block of IDs if that is to be done yet. To be called before anything about one of them
 *  changes: who knows it, or whether it is present. The functions here do so themselves. */
void view_settle_block(const State *state, Ids *ids, uint32_t number);
static inline void view_settle(const State *state, Ids *ids, uint32_t id)
{
    if (ids->uncounted)
        view_settle_block(state, ids, id / BLOCK_IDS);
}

/** Counts the lowest block that is not counted. */
void view_settle_next(const State *state, Ids *ids);

/** Counts what is not counted yet. */
void view_settle_all(const State *state, Ids *ids);

/** The lowest ID that nobody has heard of, or STATE_NO_ID. Counts the blocks in which it may be. */
int32_t view_lowest_unknown(const State *state, Ids *ids);

/** Everything becomes unknown. */
void view_clear(State *state, Ids *ids, uint32_t slot);
