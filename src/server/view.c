/* SPDX-License-Identifier: MIT */
#include "server/view.h"

#include "util/pages.h"

#include <assert.h>
#include <string.h>

#define TALLY_PLANES 17 /* STATE_MAX_CLIENTS takes so many bits */

static_assert(STATE_MAX_CLIENTS < 1 << TALLY_PLANES, "a tally has too few planes");

uint32_t view_next_due(const State *state, uint32_t slot, uint32_t from)
{
    uint32_t limit = state->header->id_limit;

    for (uint32_t id = from; id < limit; id = (id / 64 + 1) * 64) {
        uint64_t present = state->present[id / 64];
        ViewWord word = view_word(state, slot, id);
        uint64_t due = (view_arrivals(present, word) | view_departures(present, word)) &
                       (UINT64_MAX << (id % 64));

        if (due)
            return id / 64 * 64 + (uint32_t)__builtin_ctzll(due);
    }
    return limit;
}

uint32_t view_count_due(const State *state, uint32_t slot)
{
    uint32_t n = 0;

    for (uint32_t id = 0; id < state->header->id_limit; id += 64) {
        uint64_t present = state->present[id / 64];
        ViewWord word = view_word(state, slot, id);

        n += (uint32_t)__builtin_popcountll(view_arrivals(present, word) |
                                            view_departures(present, word));
    }
    return n;
}

/* The word, in a tile from now on. Its client counts for each ID of the block, not for the block.
 */
static ViewWord *keep(const State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    Client *client = &state->clients[slot];
    uint32_t number = id / BLOCK_IDS;
    uint64_t block = UINT64_C(1) << number;
    ViewWord *cells = view_cell(state, slot, number * BLOCK_IDS);
    bool was_sealed = client->sealed & block;

    view_settle(state, ids, id);
    if (client->kept & block)
        return cells + id % BLOCK_IDS / 64;
    for (uint32_t i = 0; i < BLOCK_IDS / 64; i++)
        cells[i] = (ViewWord){.spent = was_sealed ? UINT64_MAX : 0};
    state_barrier();
    client->kept |= block;
    state_barrier();
    client->sealed &= ~block;
    if (was_sealed)
        ids_unseal(ids, number);
    return cells + id % BLOCK_IDS / 64;
}

/* The blocks that clients of a tile keep. */
static uint64_t kept_in_tile(const State *state, uint32_t first)
{
    uint32_t max = state->max_clients;
    uint64_t kept = 0;

    for (uint32_t i = first; i < first + VIEW_TILE_CLIENTS && i < max; i++)
        kept |= state->clients[i].kept;
    return kept;
}

/* Gives back what the block takes that nobody needs. The client has just stopped keeping it. */
static void release(const State *state, Ids *ids, uint32_t slot, uint32_t number)
{
    uint32_t first = slot / VIEW_TILE_CLIENTS * VIEW_TILE_CLIENTS;

    if (ids->sealed[number] == 0)
        return; /* it will be needed again: the lowest ID comes first */
    if (!(kept_in_tile(state, first) >> number & 1))
        pages_release(view_cell(state, first, number * BLOCK_IDS),
                      VIEW_TILE_WORDS * sizeof(ViewWord));
    if (ids_release_block(ids, number))
        pages_release(state->holders + (size_t)number * BLOCK_IDS,
                      BLOCK_IDS * sizeof(*state->holders));
}

static bool is_spent(const ViewWord *cells)
{
    for (uint32_t i = 0; i < BLOCK_IDS / 64; i++)
        if (~cells[i].spent | cells[i].told)
            return false;
    return true;
}

/* Seals the block if the client has seen all of it go. */
static void try_to_seal(const State *state, Ids *ids, uint32_t slot, uint32_t number)
{
    Client *client = &state->clients[slot];
    uint64_t block = UINT64_C(1) << number;

    if (!is_spent(view_cell(state, slot, number * BLOCK_IDS)))
        return;
    view_settle_block(state, ids, number);
    client->sealed |= block;
    state_barrier();
    client->kept &= ~block;
    ids_seal(ids, number);
    release(state, ids, slot, number);
}

void view_tell(State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    keep(state, ids, slot, id)->told |= UINT64_C(1) << (id % 64);
    ids_learn(ids, id);
}

void view_untell(State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    ViewWord *word = keep(state, ids, slot, id);
    uint64_t bit = UINT64_C(1) << (id % 64);

    if (word->told & bit)
        ids_forget(ids, id);
    word->told &= ~bit;
}

void view_spend(State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    ViewWord *word = keep(state, ids, slot, id);
    uint64_t bit = UINT64_C(1) << (id % 64);

    word->spent |= bit;
    word->told &= ~bit;
    if (word->spent == UINT64_MAX)
        try_to_seal(state, ids, slot, id / BLOCK_IDS);
}

void view_unspend(State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    ViewWord *word = keep(state, ids, slot, id);
    uint64_t bit = UINT64_C(1) << (id % 64);

    /* That it is present says that the departure was of an earlier holder. */
    word->told |= bit;
    if (!(state->present[id / 64] & bit))
        word->spent &= ~bit;
}

void view_spend_own(State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    keep(state, ids, slot, id)->spent |= UINT64_C(1) << (id % 64);
    ids_learn(ids, id);
}

void view_outdate(State *state, uint32_t slot, uint32_t id)
{
    ViewWord *word = view_cell(state, slot, id);

    if (state->clients[slot].kept >> (id / BLOCK_IDS) & 1)
        word->spent |= word->told & (UINT64_C(1) << (id % 64));
}

/* The IDs of a word in a tile that its client knows. */
static uint64_t known_in(const ViewWord *cell)
{
    return cell->told | cell->spent;
}

/* How many clients have each bit of a word set: bit i of planes[p] is bit p of the number for bit
 * i. */
typedef struct Tally {
    uint64_t planes[TALLY_PLANES];
} Tally;

/* A client's word. To add with all bits at once takes few steps, two on average, not one for each.
 */
static void tally_add(Tally *tally, uint64_t word)
{
    for (unsigned i = 0; word; i++) {
        uint64_t carry = tally->planes[i] & word;

        tally->planes[i] ^= word;
        word = carry;
    }
}

static uint32_t tally_of(const Tally *tally, uint32_t bit)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < TALLY_PLANES; i++)
        n |= (uint32_t)(tally->planes[i] >> bit & 1) << i;
    return n;
}

/* How many clients know each ID of the block by itself. */
static void count_block(const State *state, Ids *ids, uint32_t number)
{
    Tally tallies[BLOCK_IDS / 64] = {0};
    uint32_t first = number * BLOCK_IDS;

    for (uint32_t slot = 0; slot < state->header->slot_limit; slot++) {
        const ViewWord *cells = view_cell(state, slot, first);

        if (state->clients[slot].kept >> number & 1)
            for (uint32_t i = 0; i < BLOCK_IDS / 64; i++)
                tally_add(&tallies[i], known_in(cells + i));
    }
    for (uint32_t i = 0; i < BLOCK_IDS; i++) {
        uint32_t n = tally_of(&tallies[i / 64], i % 64) + bitmap_test(state->present, first + i);

        if (n == 0) /* the counter may be on a page that nobody has touched */
            continue;
        ids->known[first + i] = n;
        ids->n_taken += !bitmap_test(ids->taken, first + i);
        bitmap_set(ids->taken, first + i);
    }
}

void view_settle_block(const State *state, Ids *ids, uint32_t number)
{
    uint64_t block = UINT64_C(1) << number;

    if (ids->uncounted & block)
        count_block(state, ids, number);
    ids->uncounted &= ~block;
}

void view_settle_next(const State *state, Ids *ids)
{
    if (ids->uncounted)
        view_settle_block(state, ids, (uint32_t)__builtin_ctzll(ids->uncounted));
}

void view_settle_all(const State *state, Ids *ids)
{
    while (ids->uncounted)
        view_settle_next(state, ids);
}

/* The lowest from there on that is not taken in a block that is counted by then; ids->n: none is.
 */
static uint32_t next_unknown(const State *state, Ids *ids, uint32_t from)
{
    uint32_t id;

    while ((id = bitmap_next_clear(ids->taken, ids->n, from)) < ids->n &&
           ids->uncounted >> (id / BLOCK_IDS) & 1) {
        view_settle_block(state, ids, id / BLOCK_IDS);
        from = id;
    }
    return id;
}

/* A process that was killed when it freed an ID may have left the floor above it. So that is where
 * to begin only while not everything is counted. */
int32_t view_lowest_unknown(const State *state, Ids *ids)
{
    uint32_t id = next_unknown(state, ids, ids->uncounted ? *ids->floor : 0);

    if (id >= ids->n)
        id = next_unknown(state, ids, 0);
    if (id >= ids->n)
        return STATE_NO_ID;
    *ids->floor = id;
    return (int32_t)id;
}

/* Those of 16 clients, of which `kept` are in use. */
static bool each_part_of(const ViewWord *tiles, uint64_t kept,
                         bool (*visit)(void *opaque, const void *part, size_t size), void *opaque)
{
    uint32_t end;

    for (uint32_t from = bitmap_next(&kept, N_BLOCKS, 0); from < N_BLOCKS;
         from = bitmap_next(&kept, N_BLOCKS, end)) {
        for (end = from + 1; end < N_BLOCKS && kept >> end & 1; end++)
            ;
        if (!visit(opaque, tiles + (size_t)from * VIEW_TILE_WORDS,
                   (size_t)(end - from) * VIEW_TILE_WORDS * sizeof(ViewWord)))
            return false;
    }
    return true;
}

bool view_each_part(const State *state, uint32_t n_slots,
                    bool (*visit)(void *opaque, const void *part, size_t size), void *opaque)
{
    for (uint32_t first = 0; first < n_slots; first += VIEW_TILE_CLIENTS)
        if (!each_part_of(view_cell(state, first, 0), kept_in_tile(state, first), visit, opaque))
            return false;
    return true;
}

static bool fetch(void *opaque, const void *part, size_t size)
{
    (void)opaque;
    pages_fetch(part, size);
    return true;
}

void view_fetch(const State *state)
{
    (void)view_each_part(state, state->header->slot_limit, fetch, NULL);
}

void view_survey(const State *state, Ids *ids)
{
    Tally sealers = {0}; /* of each block */
    uint64_t all_kept = 0, all_sealed = 0;
    uint32_t slot, number;

    BITMAP_FOREACH(slot, state->connected, state->header->max_clients) {
        uint64_t sealed = state->clients[slot].sealed & ~state->clients[slot].kept;

        state->clients[slot].sealed = sealed; /* both are set where a process was killed between */
        all_kept |= state->clients[slot].kept;
        all_sealed |= sealed;
        tally_add(&sealers, sealed);
    }
    memcpy(ids->taken, state->present, sizeof(ids->taken));
    BITMAP_FOREACH(number, &all_sealed, N_BLOCKS) {
        ids->sealed[number] = tally_of(&sealers, number);
        memset(ids->taken + (size_t)number * (BLOCK_IDS / 64), 0xff, BLOCK_IDS / 8);
    }
    ids->n_taken = bitmap_count(ids->taken, WIRE_N_IDS);
    ids->uncounted = all_kept;
    for (uint32_t id = 0; id < WIRE_N_IDS; id += 64)
        if (state->present[id / 64])
            ids->uncounted |= UINT64_C(1) << (id / BLOCK_IDS);
}

static void forget_block(const State *state, Ids *ids, uint32_t slot, uint32_t number)
{
    view_settle_block(state, ids, number);
    for (uint32_t id = number * BLOCK_IDS; id < (number + 1) * BLOCK_IDS; id += 64)
        for (uint64_t known = known_in(view_cell(state, slot, id)); known; known &= known - 1)
            ids_forget(ids, id + (uint32_t)__builtin_ctzll(known));
}

void view_clear(State *state, Ids *ids, uint32_t slot)
{
    Client *client = &state->clients[slot];
    uint64_t kept = client->kept, sealed = client->sealed;
    uint32_t number;

    BITMAP_FOREACH(number, &kept, N_BLOCKS)
        forget_block(state, ids, slot, number);
    client->kept = client->sealed = 0;
    BITMAP_FOREACH(number, &sealed, N_BLOCKS) {
        view_settle_block(state, ids, number);
        ids_forget_block(ids, number);
    }
    BITMAP_FOREACH(number, &kept, N_BLOCKS)
        release(state, ids, slot, number);
}
