/* SPDX-License-Identifier: MIT */
#include "server/state.h"

#include "util/sys.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SIZE_MAX ((size_t)65536) /* of any Linux that we know */

_Static_assert(sizeof(Client) <= 128, "a client costs two cache lines");
_Static_assert(VIEW_TILE_WORDS * sizeof(ViewWord) == 4096, "a tile is a page");
_Static_assert(N_BLOCKS == 64, "a set of blocks is a word");

/* Reserves room for a part of the mapping and gives its offset. Parts begin on pages of their own.
 */
static size_t reserve(size_t *end, size_t n, size_t each)
{
    size_t offset = *end;

    *end += (n * each + PAGE_SIZE_MAX - 1) / PAGE_SIZE_MAX * PAGE_SIZE_MAX;
    return offset;
}

/* As a number: with NULL, a pointer could not be added to. */
static void *at(void *base, size_t offset)
{
    return (void *)((uintptr_t)base + offset);
}

/* Where the parts are in a mapping at `base`, which may be NULL to learn its size. Gives that. */
static size_t lay_out(State *state, char *base, uint32_t max_clients, uint32_t max_vectors)
{
    size_t end = 0;
    size_t tiles = ((size_t)max_clients + VIEW_TILE_CLIENTS - 1) / VIEW_TILE_CLIENTS * N_BLOCKS;
    size_t words = BITMAP_WORDS(max_clients), ids = WIRE_N_IDS;

#define PART(name, n) state->name = at(base, reserve(&end, n, sizeof(*state->name)))
    PART(header, 1);
    PART(slots, words);
    PART(connected, words);
    PART(clients, max_clients);
    PART(listeners, LISTENERS_MAX);
    PART(batch, 1);
    PART(eventfds, (size_t)max_clients * max_vectors);
    PART(present, BITMAP_WORDS(ids));
    PART(holders, ids);
    PART(changes, STATE_N_CHANGES);
    PART(views, tiles * VIEW_TILE_WORDS);
#undef PART
    state->base = base;
    state->size = end;
    state->max_clients = max_clients;
    state->max_vectors = max_vectors;
    return end;
}

/* The kernel stores in the record of a batch how much of it was sent. Were the page not there, a
 * process that is being killed would not wait for it, and the store would be lost. (Without the
 * right to lock so little, all is as before: whoever has just written to a page rarely loses it.)
 * seccomp: mlock */
static void lock_batch(const State *state)
{
    (void)mlock(state->batch, sizeof(*state->batch));
}

static int map(State *state, int fd, size_t size, uint32_t max_clients, uint32_t max_vectors)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    char *base = sys.mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (base == MAP_FAILED)
        return -errno;
    (void)lay_out(state, base, max_clients, max_vectors);
    if (fd >= 0)
        lock_batch(state);
    return 0;
}

int state_new(State *state, int fd, uint32_t max_clients, uint32_t max_vectors)
{
    size_t size = lay_out(state, NULL, max_clients, max_vectors);
    int r = fd >= 0 && sys.ftruncate(fd, (off_t)size) < 0 ? -errno : 0;

    *state = (State){0};
    if (r < 0 || (r = map(state, fd, size, max_clients, max_vectors)) < 0)
        return r;
    *state->header = (StateHeader){
        .version = STATE_VERSION,
        .client_size = sizeof(Client),
        .listener_size = sizeof(Listener),
        .batch_size = sizeof(StateBatch),
        .size = size,
        .max_clients = max_clients,
        .max_vectors = max_vectors,
    };
    fdpass_batch_init(&state->batch->messages);
    state_barrier();
    state->header->magic = STATE_MAGIC;
    return 0;
}

/* Whether the header is of this version, and of a program that lays out records as this one does.
 */
static int check_kind(const StateHeader *header, ErrorText *error)
{
    if (header->magic != STATE_MAGIC)
        return error_set(error, -EPROTO, "this is no state of a server");
    if (header->version != STATE_VERSION)
        return error_set(error, -EPROTO, "the state has version %u; this program reads %d",
                         header->version, STATE_VERSION);
    if (header->client_size != sizeof(Client) || header->listener_size != sizeof(Listener) ||
        header->batch_size != sizeof(StateBatch))
        return error_set(error, -EPROTO,
                         "the state has records of %u, %u and %u bytes; this program's have %zu, "
                         "%zu and %zu",
                         header->client_size, header->listener_size, header->batch_size,
                         sizeof(Client), sizeof(Listener), sizeof(StateBatch));
    return 0;
}

/* Whether every part that the header promises is there. */
static int check_size(const StateHeader *header, uint64_t file_size, ErrorText *error)
{
    State parts;

    if (header->size != file_size || header->max_clients == 0 ||
        header->max_clients > STATE_MAX_CLIENTS || header->max_vectors == 0 ||
        header->max_vectors > WIRE_MAX_VECTORS ||
        lay_out(&parts, NULL, header->max_clients, header->max_vectors) != file_size)
        return error_set(error, -EBADMSG, "the state is damaged: it has %llu bytes",
                         (unsigned long long)file_size);
    if (header->slot_limit > header->max_clients || header->listener_limit > LISTENERS_MAX ||
        header->id_limit > WIRE_N_IDS)
        return error_set(error, -EBADMSG, "the state is damaged: its header is wrong");
    return 0;
}

int state_open(State *state, int fd, ErrorText *error)
{
    StateHeader header;
    struct stat file;
    ssize_t n = pread(fd, &header, sizeof(header), 0);
    int r;

    *state = (State){0};
    if (n < 0 || fstat(fd, &file) < 0)
        return error_set(error, -errno, "cannot read the state: %s", strerror(errno));
    if (n < (ssize_t)sizeof(header))
        return error_set(error, n == 0 ? -ENODATA : -EPROTO, "this is no state: it has %zd bytes",
                         n);
    if ((r = check_kind(&header, error)) < 0 ||
        (r = check_size(&header, (uint64_t)file.st_size, error)) < 0)
        return r;
    r = map(state, fd, header.size, header.max_clients, header.max_vectors);
    if (r < 0)
        return error_set(error, r, "cannot map the state: %s", strerror(-r));
    state->device = file.st_dev;
    state->inode = file.st_ino;
    return 0;
}

bool state_is_of(const State *state, int fd)
{
    struct stat file;

    return fstat(fd, &file) == 0 && file.st_dev == state->device && file.st_ino == state->inode;
}

bool state_is_sound(const State *state)
{
    const StateHeader header = *state->header;
    ErrorText error;

    return check_kind(&header, &error) == 0 && check_size(&header, state->size, &error) == 0 &&
           header.max_clients == state->max_clients && header.max_vectors == state->max_vectors;
}

void state_free(State *state)
{
    if (state->base)
        (void)munmap(state->base, state->size);
    *state = (State){0};
}

void state_each_fd_of(const State *state, uint32_t slot, StateVisit *visit, void *opaque)
{
    Client *client = &state->clients[slot];

    if (client->sock_fd >= 0)
        visit(opaque, &client->sock_fd, client->passed);
    for (uint32_t i = 0; i < client->n_vectors; i++)
        visit(opaque, &state_eventfds(state, slot)[i], client->passed);
}

void state_each_fd(const State *state, StateVisit *visit, void *opaque)
{
    visit(opaque, &state->header->memory_fd, false);
    for (uint32_t i = 0; i < state->header->listener_limit; i++) {
        Listener *listener = &state->listeners[i];

        if (listener->in_use) {
            visit(opaque, &listener->socket.fd, false);
            visit(opaque, &listener->socket.lock_fd, false);
        }
    }
    for (uint32_t slot = 0; slot < state->header->slot_limit; slot++)
        if (state->clients[slot].in_use)
            state_each_fd_of(state, slot, visit, opaque);
}

void state_reset_progress(Client *client)
{
    client->hello_sent = client->own_sent = 0;
    client->telling = STATE_NO_ID;
    client->telling_sent = 0;
    client->scan = 0;
    client->seen = 0;
    client->unread = 0;
    client->parked = client->has_read_setup = client->passed = false;
    client->kept = client->sealed = 0;
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
    if (slot >= state->header->slot_limit)
        state->header->slot_limit = slot + 1;
    state->header->n_clients++;
    return slot;
}

void state_drop_slot(State *state, uint32_t slot)
{
    assert(bitmap_test(state->slots, slot));
    state->clients[slot].in_use = false;
    state_barrier();
    bitmap_clear(state->slots, slot);
    state->header->n_clients--;
}
