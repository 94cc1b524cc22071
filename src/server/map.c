/* SPDX-License-Identifier: MIT */
#include "server/map.h"

#include "server/core.h"
#include "server/view.h"
#include "util/pages.h"

#include <stdlib.h>

struct IvshmemServerMap {
    State state;
    bool (*stop)(void); /* whether what is touched is enough; NULL: it never is */
};

/* False: that is enough. */
static bool touch(const IvshmemServerMap *map, const void *part, size_t size)
{
    return pages_touch((void *)(uintptr_t)part, size, map->stop);
}

static bool touch_part(void *opaque, const void *part, size_t size)
{
    return touch(opaque, part, size);
}

/* Whether somebody holds an ID of the block. What belongs to the others may have been given back.
 */
static bool is_held(const State *state, uint32_t number)
{
    const uint64_t *present = state->present + (size_t)number * (BLOCK_IDS / 64);
    uint64_t any = 0;

    for (uint32_t i = 0; i < BLOCK_IDS / 64; i++)
        any |= present[i];
    return any != 0;
}

static uint32_t at_most(uint32_t n, uint32_t most)
{
    return n < most ? n : most;
}

static bool touch_ids(const IvshmemServerMap *map)
{
    const State *state = &map->state;

    for (uint32_t number = 0; number < N_BLOCKS; number++)
        if (is_held(state, number) && !touch(map, state->holders + (size_t)number * BLOCK_IDS,
                                             BLOCK_IDS * sizeof(*state->holders)))
            return false;
    return true;
}

/* What whoever goes on looks at and writes to. What the header says can change meanwhile, or be
 * wrong; what there is room for cannot. */
void ivshmem_server_map_again(IvshmemServerMap *map, bool (*stop)(void))
{
    const State *state = &map->state;
    size_t words = BITMAP_WORDS(state->max_clients) * sizeof(*state->slots);
    uint32_t slots = at_most(state->header->slot_limit, state->max_clients);
    uint32_t listeners = at_most(state->header->listener_limit, LISTENERS_MAX);

    map->stop = stop;
    (void)(touch(map, state->slots, words) && touch(map, state->connected, words) &&
           touch(map, state->clients, slots * sizeof(*state->clients)) &&
           touch(map, state->listeners, listeners * sizeof(*state->listeners)) &&
           touch(map, state->batch, sizeof(*state->batch)) &&
           touch(map, state->eventfds,
                 (size_t)slots * state->max_vectors * sizeof(*state->eventfds)) &&
           touch(map, state->present, BITMAP_WORDS(WIRE_N_IDS) * sizeof(*state->present)) &&
           touch(map, state->changes, STATE_N_CHANGES * sizeof(*state->changes)) &&
           touch_ids(map) && view_each_part(state, slots, touch_part, map));
}

IvshmemServerMap *ivshmem_server_map(int state_fd, bool (*stop)(void))
{
    IvshmemServerMap *map = calloc(1, sizeof(*map));
    ErrorText error;

    if (!map || state_open(&map->state, state_fd, &error) < 0) {
        free(map);
        return NULL;
    }
    ivshmem_server_map_again(map, stop);
    return map;
}

bool ivshmem_server_map_is_of(const IvshmemServerMap *map, int state_fd)
{
    return state_is_of(&map->state, state_fd);
}

bool map_take(IvshmemServerMap *map, int state_fd, State *state)
{
    bool is_right = map && state_is_of(&map->state, state_fd) && state_is_sound(&map->state);

    if (is_right) {
        *state = map->state;
        map->state = (State){0};
    }
    ivshmem_server_unmap(map);
    return is_right;
}

void ivshmem_server_unmap(IvshmemServerMap *map)
{
    if (!map)
        return;
    state_free(&map->state);
    free(map);
}

uint64_t ivshmem_server_state_used(const IvshmemServer *server)
{
    const State *state = &server->core_->state;
    const StateHeader *header = state->header;
    uint64_t slots = header->slot_limit;
    uint64_t blocks = (header->id_limit + BLOCK_IDS - 1) / BLOCK_IDS;
    uint64_t tiles = (slots + VIEW_TILE_CLIENTS - 1) / VIEW_TILE_CLIENTS * blocks;

    return slots * (sizeof(Client) + state->max_vectors * sizeof(*state->eventfds)) +
           tiles * VIEW_TILE_WORDS * sizeof(ViewWord);
}
