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
 * When every ID is present or known to somebody, the one that the fewest clients know is given out
 * again. Those clients are never told of it (view.h).
 */
#pragma once

#include "server/state.h"

typedef struct Ids {
    uint32_t n;      /* IDs that there are: those below it */
    uint32_t *known; /* [WIRE_N_IDS]: clients whose view of it is not unknown */
    uint64_t taken[BITMAP_WORDS(WIRE_N_IDS)]; /* known to somebody */
    uint32_t n_taken;
} Ids;

/** @return 0 or -ENOMEM */
int ids_new(Ids *ids, uint32_t n);
void ids_free(Ids *ids);

/** The lowest ID that nobody has heard of, or STATE_NO_ID. */
int32_t ids_lowest_unknown(const Ids *ids);

/** The ID that is not present and known to the fewest, the lowest of those, or STATE_NO_ID. */
int32_t ids_least_known(const Ids *ids, const State *state);

/** A client's view of the ID stops being unknown, or becomes it. */
static inline void ids_learn(Ids *ids, uint32_t id)
{
    if (ids->known[id]++ == 0) {
        bitmap_set(ids->taken, id);
        ids->n_taken++;
    }
}

static inline void ids_forget(Ids *ids, uint32_t id)
{
    if (--ids->known[id] == 0) {
        bitmap_clear(ids->taken, id);
        ids->n_taken--;
    }
}
