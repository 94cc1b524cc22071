/* SPDX-License-Identifier: MIT */
#include "server/ids.h"

#include "util/pages.h"
#include "util/sys.h"

#include <errno.h>
#include <string.h>

#define KNOWN_SIZE (WIRE_N_IDS * sizeof(uint32_t))

/* NOLINTNEXTLINE(readability-non-const-parameter): others write to the floor */
int ids_new(Ids *ids, uint32_t n, uint32_t *floor)
{
    void *known = sys.mmap(NULL, KNOWN_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (known == MAP_FAILED)
        return -ENOMEM;
    *ids = (Ids){.n = n, .floor = floor, .known = known};
    return 0;
}

void ids_free(Ids *ids)
{
    if (ids->known)
        (void)munmap(ids->known, KNOWN_SIZE);
    ids->known = NULL;
}

int32_t ids_least_known(const Ids *ids, const State *state)
{
    int32_t best = STATE_NO_ID;

    for (uint32_t id = 0; id < ids->n; id++)
        if (!bitmap_test(state->present, id) &&
            (best == STATE_NO_ID || ids_count(ids, id) < ids_count(ids, (uint32_t)best)))
            best = (int32_t)id;
    return best;
}

void ids_seal(Ids *ids, uint32_t block)
{
    for (uint32_t i = 0; i < BLOCK_IDS; i++)
        ids->known[block * BLOCK_IDS + i]--;
    ids->sealed[block]++;
}

void ids_unseal(Ids *ids, uint32_t block)
{
    ids->sealed[block]--;
    for (uint32_t i = 0; i < BLOCK_IDS; i++)
        ids->known[block * BLOCK_IDS + i]++;
}

void ids_forget_block(Ids *ids, uint32_t block)
{
    ids->sealed[block]--;
    for (uint32_t i = 0; ids->sealed[block] == 0 && i < BLOCK_IDS; i++) {
        uint32_t id = block * BLOCK_IDS + i;

        if (ids->known[id] == 0)
            ids_free_one(ids, id);
    }
}

bool ids_release_block(Ids *ids, uint32_t block)
{
    uint32_t *known = ids->known + (size_t)block * BLOCK_IDS;

    for (uint32_t i = 0; i < BLOCK_IDS; i++)
        if (known[i] > 0)
            return false;
    pages_release(known, BLOCK_IDS * sizeof(*known));
    return true;
}
