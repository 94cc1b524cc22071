/* SPDX-License-Identifier: MIT */
/* A state that another process has written, copied for this one. */
#include "ivshmem-server.h"
#include "server/state-check.h"
#include "server/view.h"

#include <errno.h>
#include <string.h>

/* The tiles of the blocks that the client keeps, as the copy of it says. */
static void copy_view(const State *to, const State *from, uint32_t slot)
{
    uint64_t kept = to->clients[slot].kept;
    uint32_t number;

    BITMAP_FOREACH(number, &kept, N_BLOCKS)
        memcpy(view_cell(to, slot, number * BLOCK_IDS), view_cell(from, slot, number * BLOCK_IDS),
               BLOCK_IDS / 64 * sizeof(ViewWord));
}

/* Copies what recover() does not make anew. The other process can still write to its state: what is
 * looked at is in the copy alone, which nobody else sees. */
static int copy(const State *to, const State *from, ErrorText *error)
{
    StateHeader header = *from->header;
    size_t slots = header.slot_limit;

    if (slots > to->max_clients || header.listener_limit > LISTENERS_MAX ||
        header.id_limit > WIRE_N_IDS)
        return error_set(error, -EBADMSG, "the state is damaged: its header is wrong");
    header.max_clients = to->max_clients;
    header.max_vectors = to->max_vectors;
    header.size = to->size;
    *to->header = header;
    memcpy(to->clients, from->clients, slots * sizeof(*to->clients));
    memcpy(to->listeners, from->listeners, header.listener_limit * sizeof(*to->listeners));
    memcpy(to->batch, from->batch, sizeof(*to->batch));
    memcpy(to->eventfds, from->eventfds, slots * header.max_vectors * sizeof(*to->eventfds));
    for (uint32_t slot = 0; slot < slots; slot++)
        copy_view(to, from, slot);
    return state_check(to, WIRE_N_IDS, error);
}

typedef struct Renumbering {
    int (*renumber)(void *opaque, int fd);
    void *opaque;
    int lacking; /* a descriptor that did not come with the state; -1: none */
} Renumbering;

static void renumber_one(void *opaque, int32_t *fd)
{
    Renumbering *numbers = opaque;
    int there = *fd;

    *fd = numbers->renumber(numbers->opaque, there);
    if (*fd < 0)
        numbers->lacking = there;
}

static int import(const State *to, const State *from, Renumbering *numbers, ErrorText *error)
{
    int r = copy(to, from, error);

    if (r < 0)
        return r;
    state_each_fd(to, renumber_one, numbers);
    return numbers->lacking < 0
               ? 0
               : error_set(error, -EBADF, "descriptor %d of the state has not come with it",
                           numbers->lacking);
}

static int import_into(int fd, const State *from, Renumbering *numbers, ErrorText *error)
{
    State to;
    int r = state_new(&to, fd, from->max_clients, from->max_vectors);

    if (r < 0)
        return error_set(error, r, "no room for the state: %s", strerror(-r));
    r = import(&to, from, numbers, error);
    state_free(&to);
    return r;
}

int ivshmem_server_import(int to, int from, int (*renumber)(void *opaque, int fd), void *opaque,
                          char why[IVSHMEM_SERVER_ERROR_SIZE])
{
    Renumbering numbers = {renumber, opaque, -1};
    ErrorText error;
    State old;
    int r = state_open(&old, from, &error);

    if (r == 0) {
        r = import_into(to, &old, &numbers, &error);
        state_free(&old);
    }
    if (r < 0)
        (void)snprintf(why, IVSHMEM_SERVER_ERROR_SIZE, "%.*s", IVSHMEM_SERVER_ERROR_SIZE - 1,
                       error.text);
    return r;
}
