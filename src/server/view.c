/* SPDX-License-Identifier: MIT */
#include "server/view.h"

#include <assert.h>

uint32_t view_next_due(const State *state, uint32_t slot, uint32_t from)
{
    uint32_t limit = state->header->id_limit;

    for (uint32_t id = from; id < limit; id = (id / 64 + 1) * 64) {
        uint64_t present = state->present[id / 64];
        ViewWord word = *view_word(state, slot, id);
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
        ViewWord word = *view_word(state, slot, id);

        n += (uint32_t)__builtin_popcountll(view_arrivals(present, word) |
                                            view_departures(present, word));
    }
    return n;
}

void view_tell(State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    view_word(state, slot, id)->told |= UINT64_C(1) << (id % 64);
    ids_learn(ids, id);
}

void view_untell(State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    ViewWord *word = view_word(state, slot, id);
    uint64_t bit = UINT64_C(1) << (id % 64);

    if (word->told & bit)
        ids_forget(ids, id);
    word->told &= ~bit;
}

void view_spend(State *state, uint32_t slot, uint32_t id)
{
    ViewWord *word = view_word(state, slot, id);
    uint64_t bit = UINT64_C(1) << (id % 64);

    word->spent |= bit;
    word->told &= ~bit;
}

void view_unspend(State *state, uint32_t slot, uint32_t id)
{
    ViewWord *word = view_word(state, slot, id);
    uint64_t bit = UINT64_C(1) << (id % 64);

    /* That it is present says that the departure was of an earlier holder. */
    word->told |= bit;
    if (!(state->present[id / 64] & bit))
        word->spent &= ~bit;
}

void view_spend_own(State *state, Ids *ids, uint32_t slot, uint32_t id)
{
    view_word(state, slot, id)->spent |= UINT64_C(1) << (id % 64);
    ids_learn(ids, id);
}

void view_outdate(State *state, uint32_t slot, uint32_t id)
{
    ViewWord *word = view_word(state, slot, id);

    word->spent |= word->told & (UINT64_C(1) << (id % 64));
}

void view_clear(State *state, Ids *ids, uint32_t slot)
{
    uint32_t limit = state->header->id_limit;

    for (uint32_t id = 0; id < limit; id += 64) {
        ViewWord *word = view_word(state, slot, id);

        for (uint64_t known = word->told | word->spent; known; known &= known - 1)
            ids_forget(ids, id + (uint32_t)__builtin_ctzll(known));
        if (word->told | word->spent)
            *word = (ViewWord){0};
    }
}
