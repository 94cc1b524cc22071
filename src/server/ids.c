/* SPDX-License-Identifier: MIT */
#include "server/ids.h"

#include <errno.h>
#include <stdlib.h>

int ids_new(Ids *ids, uint32_t n)
{
    *ids = (Ids){.n = n, .known = calloc(n, sizeof(*ids->known))};
    return ids->known ? 0 : -ENOMEM;
}

void ids_free(Ids *ids)
{
    free(ids->known);
    ids->known = NULL;
}

int32_t ids_lowest_unknown(const Ids *ids)
{
    uint32_t id = bitmap_first_clear(ids->taken, ids->n);

    return id < ids->n ? (int32_t)id : STATE_NO_ID;
}

int32_t ids_least_known(const Ids *ids, const State *state)
{
    int32_t best = STATE_NO_ID;

    for (uint32_t id = 0; id < ids->n; id++)
        if (!bitmap_test(state->present, id) &&
            (best == STATE_NO_ID || ids->known[id] < ids->known[best]))
            best = (int32_t)id;
    return best;
}
