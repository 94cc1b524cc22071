/* SPDX-License-Identifier: MIT */
/*
 * Which ID a newcomer gets.
 *
 * QEMU's device frees what it keeps for a peer when the peer leaves, and does not allocate it again
 * when the same ID comes back (hw/misc/ivshmem-pci.c, 7.2 to 10.x): it writes to freed memory then.
 * So an ID can be used again only when no connected client has heard of it. That is a counter per
 * ID: how many clients' view of it is not unknown. Each client counts for its own ID, too. The
 * lowest usable ID is given out first: the peer table of a QEMU grows to the highest that it has
 * seen, and a device with master=on needs ID 0.
 *
 * Where a client stays and others come and go, IDs are used up block by block, and in the end it
 * has seen all of a block go. It has sealed the block then, and counts once for it, not for each
 * ID. So counters that are not 0 are those of IDs that live or are only in part used up.
 *
 * A process that goes on after another counts who knows the IDs block by block, when it is needed
 * (view_settle()). Where the lowest that nobody knows can be, it is told (id_floor): so that one
 * block, or few, is all that the first newcomer has to wait for.
 *
 * When every ID is present or known to somebody, the one that the fewest clients know is given out
 * again. Those clients are never told of it (view.h).
 */
#pragma once

#include "server/state.h"

typedef struct Ids {
    uint32_t n;                /* IDs that there are: those below it */
    uint32_t *known;           /* [WIRE_N_IDS]: clients that know the ID by itself */
    uint32_t sealed[N_BLOCKS]; /* clients that have sealed the block: they know all */
    uint32_t *floor;           /* IDs below are taken: StateHeader's id_floor */
    uint64_t taken[BITMAP_WORDS(WIRE_N_IDS)]; /* IDs that somebody knows, or holds */
    uint32_t n_taken;
    uint64_t uncounted; /* set of blocks: whoever knows their IDs by himself, `known` is 0, and none
                           is taken for that */
} Ids;

/** @param floor  borrowed, for as long  @return 0 or -ENOMEM */
int ids_new(Ids *ids, uint32_t n, uint32_t *floor);
void ids_free(Ids *ids);

/** The ID that is not present and known to the fewest, the lowest of those, or STATE_NO_ID. Every
 *  block is counted. */
int32_t ids_least_known(const Ids *ids, const State *state);

/** How many clients' view of the ID is not unknown. Here and below, its block is counted. */
static inline uint32_t ids_count(const Ids *ids, uint32_t id)
{
    return ids->known[id] + ids->sealed[id / BLOCK_IDS];
}

/** Nobody knows the ID any more. */
static inline void ids_free_one(Ids *ids, uint32_t id)
{
    bitmap_clear(ids->taken, id);
    ids->n_taken--;
    if (id < *ids->floor)
        *ids->floor = id;
}

/** A client's view of the ID stops being unknown, or becomes it. */
static inline void ids_learn(Ids *ids, uint32_t id)
{
    if (ids_count(ids, id) == 0) {
        bitmap_set(ids->taken, id);
        ids->n_taken++;
    }
    ids->known[id]++;
}

static inline void ids_forget(Ids *ids, uint32_t id)
{
    ids->known[id]--;
    if (ids_count(ids, id) == 0)
        ids_free_one(ids, id);
}

/** A client that knows all of a block seals it, or keeps it ID by ID again. */
void ids_seal(Ids *ids, uint32_t block);
void ids_unseal(Ids *ids, uint32_t block);

/** A client that has sealed a block leaves. */
void ids_forget_block(Ids *ids, uint32_t block);

/** Gives the counters of a block back if they are all 0: no ID of it is present, and nobody knows
 *  any of them who has not sealed it. @return whether they are */
bool ids_release_block(Ids *ids, uint32_t block);
