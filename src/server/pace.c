/* SPDX-License-Identifier: MIT */
#include "server/pace.h"

#include <errno.h>
#include <stdlib.h>

int pace_new(Pace *pace, uint32_t n_slots)
{
    size_t words = BITMAP_WORDS(n_slots), places = (size_t)n_slots + 1;

    *pace = (Pace){
        .n_slots = n_slots,
        .marker = PACE_NO_MARKER,
        .waiting = calloc(2 * words, sizeof(uint64_t)),
        .after = calloc(2 * places, sizeof(uint32_t)),
    };
    if (!pace->waiting || !pace->after) {
        pace_free(pace);
        return -ENOMEM;
    }
    pace->waited = pace->waiting + words;
    pace->before = pace->after + places;
    pace->after[n_slots] = pace->before[n_slots] = n_slots;
    return 0;
}

void pace_free(Pace *pace)
{
    free(pace->waiting);
    free(pace->after);
    pace->waiting = pace->waited = NULL;
    pace->after = pace->before = NULL;
}

void pace_add(Pace *pace, uint32_t slot)
{
    uint32_t end = pace->n_slots, last = pace->before[end];

    pace->before[slot] = last;
    pace->after[slot] = end;
    pace->after[last] = pace->before[end] = slot;
    pace->n_waiting++;
    bitmap_set(pace->waiting, slot);
    bitmap_set(pace->waited, slot);
}

void pace_remove(Pace *pace, uint32_t slot)
{
    if (pace->marker == slot)
        pace->marker = PACE_NO_MARKER;
    if (!bitmap_test(pace->waiting, slot))
        return;
    pace->after[pace->before[slot]] = pace->after[slot];
    pace->before[pace->after[slot]] = pace->before[slot];
    pace->n_waiting--;
    bitmap_clear(pace->waiting, slot);
}

uint32_t pace_first(const Pace *pace)
{
    return pace->after[pace->n_slots];
}

uint32_t pace_choose(Pace *pace)
{
    uint32_t slot = pace_first(pace), half = pace->n_waiting / 2;

    pace->n_ahead = half < PACE_AHEAD ? half : PACE_AHEAD;
    for (uint32_t i = 0; i < pace->n_ahead; i++)
        slot = pace->after[slot];
    return slot;
}

void pace_mark(Pace *pace, uint32_t slot, int64_t now)
{
    pace->marker = slot;
    pace->marked_at = now;
}
