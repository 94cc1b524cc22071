/* SPDX-License-Identifier: MIT */
#include "server/state.h"

#include "util/sys.h"

#include <assert.h>
#include <errno.h>

#define PAGE_SIZE_MAX ((size_t)65536) /* of any Linux that we know */

_Static_assert(sizeof(Client) <= 128, "a client costs two cache lines");
_Static_assert(VIEW_TILE_WORDS * sizeof(ViewWord) == 4096, "a tile is a page");

/* Reserves room for a part of the mapping and gives its offset. Parts begin on pages of their own.
 */
static size_t reserve(size_t *end, size_t n, size_t each)
{
    size_t offset = *end;

    *end += (n * each + PAGE_SIZE_MAX - 1) / PAGE_SIZE_MAX * PAGE_SIZE_MAX;
    return offset;
}

int state_new(State *state, uint32_t max_clients, uint32_t max_vectors)
{
    size_t end = 0;
    size_t tiles = ((size_t)max_clients + VIEW_TILE_CLIENTS - 1) / VIEW_TILE_CLIENTS *
                   (WIRE_N_IDS / VIEW_TILE_IDS);
    size_t header = reserve(&end, 1, sizeof(StateHeader));
    size_t slots = reserve(&end, BITMAP_WORDS(max_clients), sizeof(uint64_t));
    size_t connected = reserve(&end, BITMAP_WORDS(max_clients), sizeof(uint64_t));
    size_t clients = reserve(&end, max_clients, sizeof(Client));
    size_t eventfds = reserve(&end, (size_t)max_clients * max_vectors, sizeof(int32_t));
    size_t present = reserve(&end, BITMAP_WORDS(WIRE_N_IDS), sizeof(uint64_t));
    size_t holders = reserve(&end, WIRE_N_IDS, sizeof(uint32_t));
    size_t changes = reserve(&end, STATE_N_CHANGES, sizeof(uint32_t));
    size_t views = reserve(&end, tiles, VIEW_TILE_WORDS * sizeof(ViewWord));
    char *base = sys.mmap(NULL, end, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        return -ENOMEM;
    *state = (State){
        .base = base,
        .size = end,
        .header = (StateHeader *)(void *)(base + header),
        .slots = (uint64_t *)(void *)(base + slots),
        .connected = (uint64_t *)(void *)(base + connected),
        .clients = (Client *)(void *)(base + clients),
        .eventfds = (int32_t *)(void *)(base + eventfds),
        .present = (uint64_t *)(void *)(base + present),
        .holders = (uint32_t *)(void *)(base + holders),
        .changes = (uint32_t *)(void *)(base + changes),
        .views = (ViewWord *)(void *)(base + views),
    };
    state->header->max_clients = max_clients;
    state->header->max_vectors = max_vectors;
    return 0;
}

void state_free(State *state)
{
    if (state->base)
        (void)munmap(state->base, state->size);
    *state = (State){0};
}

void state_reset_progress(Client *client)
{
    client->hello_sent = client->own_sent = 0;
    client->telling = STATE_NO_ID;
    client->telling_sent = 0;
    client->scan = 0;
    client->seen = 0;
    client->unread = 0;
    client->parked = client->has_read_setup = false;
}

uint32_t state_take_slot(State *state)
{
    uint32_t max = state->header->max_clients;
    uint32_t slot = bitmap_first_clear(state->slots, max);

    if (slot == max)
        return STATE_NO_SLOT;
    state->clients[slot] = (Client){.sock_fd = -1, .id = STATE_NO_ID};
    state_reset_progress(&state->clients[slot]);
    bitmap_set(state->slots, slot);
    state->header->n_clients++;
    return slot;
}

void state_drop_slot(State *state, uint32_t slot)
{
    assert(bitmap_test(state->slots, slot));
    bitmap_clear(state->slots, slot);
    state->header->n_clients--;
}
