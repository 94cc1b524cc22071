/* SPDX-License-Identifier: MIT */
#include "server/state-check.h"

#include "server/view.h"
#include "server/world.h"
#include "util/cleanup.h"

#include <string.h>

typedef struct Check {
    const State *state;
    uint64_t *fds; /* set of those that are in use: n_fds bits */
    uint32_t n_fds;
    uint64_t ids[BITMAP_WORDS(WIRE_N_IDS)]; /* set of those that somebody has */
    bool lacks_memory;
} Check;

/* Any other value would be undefined behaviour to look at as a bool. */
static bool is_bool(const bool *flag)
{
    uint8_t byte;

    memcpy(&byte, flag, 1);
    return byte <= 1;
}

static bool is_text(const char *text, size_t size)
{
    return memchr(text, 0, size);
}

static bool make_room(Check *check, uint32_t fd)
{
    uint32_t n = (fd / 4096 + 1) * 2 * 4096;
    uint64_t *more = reallocarray(check->fds, BITMAP_WORDS(n), sizeof(*more));

    if (!more) {
        check->lacks_memory = true;
        return false;
    }
    memset(more + BITMAP_WORDS(check->n_fds), 0,
           (BITMAP_WORDS(n) - BITMAP_WORDS(check->n_fds)) * sizeof(*more));
    check->fds = more;
    check->n_fds = n;
    return true;
}

/* Each descriptor belongs to one place: it would be closed twice otherwise. */
static bool take_fd(Check *check, int32_t fd)
{
    if (fd < 0 || fd >= STATE_FD_LIMIT ||
        ((uint32_t)fd >= check->n_fds && !make_room(check, (uint32_t)fd)) ||
        bitmap_test(check->fds, (uint32_t)fd))
        return false;
    bitmap_set(check->fds, (uint32_t)fd);
    return true;
}

/* What is wrong, or NULL. */
static const char *check_header(Check *check, uint32_t n_ids)
{
    const StateHeader *header = check->state->header;

    if (header->id_limit > n_ids)
        return "its IDs";
    if (!is_bool(&header->memory_made) || !take_fd(check, header->memory_fd))
        return "its memory";
    return NULL;
}

static const char *check_listener(Check *check, uint32_t index)
{
    const Listener *listener = &check->state->listeners[index];

    if (!is_bool(&listener->in_use))
        return "whether it is there";
    if (!listener->in_use)
        return NULL;
    if (!is_bool(&listener->observers) || !is_bool(&listener->read_only) ||
        !is_bool(&listener->accept.waiting))
        return "its properties";
    if (listener->index != index)
        return "its index";
    if (!is_text(listener->name, sizeof(listener->name)) ||
        !is_text(listener->socket.path, sizeof(listener->socket.path)))
        return "its name";
    if (!take_fd(check, listener->socket.fd) ||
        (listener->socket.lock_fd != -1 && !take_fd(check, listener->socket.lock_fd)))
        return "its descriptors";
    if (listener->n_vectors == 0 || listener->n_vectors > check->state->header->max_vectors)
        return "its number of vectors";
    if (listener->reserved_slot != STATE_NO_SLOT &&
        (listener->observers || listener->reserved_slot >= check->state->header->slot_limit))
        return "its reserved identity";
    return NULL;
}

static const Listener *listener_of(const Check *check, const Client *client)
{
    return &check->state->listeners[client->listener];
}

static const char *check_id(Check *check, const Client *client)
{
    const Listener *listener = listener_of(check, client);

    if (client->id == STATE_NO_ID)
        return client->reserved || (listener->in_use && !listener->observers) ? "its lack of an ID"
                                                                              : NULL;
    if (client->id < 0 || (uint32_t)client->id >= check->state->header->id_limit ||
        bitmap_test(check->ids, (uint32_t)client->id) || (listener->in_use && listener->observers))
        return "its ID";
    bitmap_set(check->ids, (uint32_t)client->id);
    return NULL;
}

/* A reserved one stays in use for a moment when its listener has gone. */
static const char *check_place(const Check *check, uint32_t slot)
{
    const Client *client = &check->state->clients[slot];
    const Listener *listener;

    if (client->listener >= check->state->header->listener_limit)
        return "its listener";
    listener = listener_of(check, client);
    if (client->reserved ? listener->in_use && listener->reserved_slot != slot
                         : !listener->in_use || client->sock_fd < 0)
        return "its listener";
    return NULL;
}

static const char *check_fds(Check *check, uint32_t slot)
{
    const Client *client = &check->state->clients[slot];

    if (client->n_vectors == 0 || client->n_vectors > check->state->header->max_vectors)
        return "its number of vectors";
    if (client->sock_fd != -1 && !take_fd(check, client->sock_fd))
        return "its socket";
    for (uint32_t i = 0; i < client->n_vectors; i++)
        if (!take_fd(check, state_eventfds(check->state, slot)[i]))
            return "its eventfds";
    return NULL;
}

static const char *check_client(Check *check, uint32_t slot)
{
    const Client *client = &check->state->clients[slot];
    const char *wrong;

    if (!is_bool(&client->in_use))
        return "whether it is there";
    if (!client->in_use)
        return NULL;
    if (!is_bool(&client->parked) || !is_bool(&client->reserved) || !is_bool(&client->read_only) ||
        !is_bool(&client->has_read_setup) || !is_bool(&client->passed))
        return "its properties";
    if ((wrong = check_place(check, slot)) || (wrong = check_fds(check, slot)))
        return wrong;
    return check_id(check, client);
}

/* The reserved identity of a listener is there as long as the listener is. */
static const char *check_reservation(const Check *check, uint32_t index)
{
    const Listener *listener = &check->state->listeners[index];
    const Client *client;

    if (!listener->in_use || listener->reserved_slot == STATE_NO_SLOT)
        return NULL;
    client = &check->state->clients[listener->reserved_slot];
    return client->in_use && client->reserved && client->listener == index
               ? NULL
               : "its reserved identity";
}

static bool is_step(const State *state, const Step *step)
{
    bool is_id = step->id < state->header->id_limit;

    switch (step->kind) {
    case STEP_HELLO:
        return step->n < CLIENT_HELLOS;
    case STEP_VECTOR:
        return is_id && step->n < state->header->max_vectors;
    case STEP_DEPARTURE:
        return is_id && step->n <= state->header->max_vectors;
    case STEP_OWN:
        return step->n < state->header->max_vectors;
    }
    return false;
}

static const char *check_batch(const Check *check)
{
    const StateBatch *batch = check->state->batch;

    if (batch->phase == BATCH_IDLE)
        return NULL;
    if ((batch->phase != BATCH_PLANNING && batch->phase != BATCH_SENDING) ||
        batch->slot >= check->state->header->slot_limit || batch->n > FDPASS_BATCH_MAX)
        return "its size";
    for (uint32_t i = 0; i < batch->n; i++)
        if (!is_step(check->state, &batch->steps[i]))
            return "one of its steps";
    return NULL;
}

static int damaged(ErrorText *error, const char *what, uint32_t index, const char *wrong)
{
    return error_set(error, -EBADMSG, "the state is damaged: %s %u: %s", what, index, wrong);
}

static int check_all(Check *check, uint32_t n_ids, ErrorText *error)
{
    const StateHeader *header = check->state->header;
    const char *wrong = check_header(check, n_ids);

    if (wrong)
        return damaged(error, "region", 0, wrong);
    for (uint32_t i = 0; i < header->listener_limit; i++)
        if ((wrong = check_listener(check, i)))
            return damaged(error, "listener", i, wrong);
    for (uint32_t slot = 0; slot < header->slot_limit; slot++)
        if ((wrong = check_client(check, slot)))
            return damaged(error, "client", slot, wrong);
    for (uint32_t i = 0; i < header->listener_limit; i++)
        if ((wrong = check_reservation(check, i)))
            return damaged(error, "listener", i, wrong);
    wrong = check_batch(check);
    return wrong ? damaged(error, "batch", 0, wrong) : 0;
}

int state_check(const State *state, uint32_t n_ids, ErrorText *error)
{
    Check *check = calloc(1, sizeof(*check));
    int r;

    if (!check)
        return error_set(error, -ENOMEM, "no memory to look through the state");
    check->state = state;
    r = check_all(check, n_ids, error);
    if (r < 0 && check->lacks_memory)
        r = error_set(error, -ENOMEM, "no memory to look through the state");
    free(check->fds);
    free(check);
    return r;
}

/* Nothing is known of IDs that there have never been. */
static bool knows_too_much(const State *state, uint32_t slot)
{
    const Client *client = &state->clients[slot];
    uint32_t limit = state->header->id_limit, n_blocks = (limit + BLOCK_IDS - 1) / BLOCK_IDS;
    ViewWord word = limit % 64 ? view_word(state, slot, limit) : (ViewWord){0};

    if (n_blocks < N_BLOCKS && (client->kept | client->sealed) >> n_blocks)
        return true;
    return (word.told | word.spent) >> (limit % 64) != 0;
}

/* Of how many vectors the ID's holder has, or had; 0 if nobody has it. */
static uint32_t vectors_of(const State *state, uint32_t id)
{
    return bitmap_test(state->present, id) ? state->clients[world_holder(state, id)].n_vectors : 0;
}

static bool is_telling(const State *state, uint32_t slot)
{
    const Client *client = &state->clients[slot];
    uint32_t id = (uint32_t)client->telling;
    bool is_due;

    if (client->telling < 0 || id >= state->header->id_limit || client->telling_sent == 0 ||
        !(view_word(state, slot, id).told >> (id % 64) & 1))
        return false;
    is_due = view_due(state, slot, id) == VIEW_DUE_DEPARTURE;
    return is_due || client->telling_sent < vectors_of(state, id);
}

static const char *check_told(const State *state, uint32_t slot)
{
    const Client *client = &state->clients[slot];
    uint32_t id = (uint32_t)client->id;

    if (client->hello_sent > CLIENT_HELLOS || client->own_sent > client->n_vectors)
        return "how much of its set-up it has been sent";
    if (client->hello_sent < CLIENT_HELLOS &&
        (client->own_sent > 0 || client->telling != STATE_NO_ID))
        return "the order of what it has been sent";
    if (client->telling != STATE_NO_ID && !is_telling(state, slot))
        return "the ID that it is being told of";
    if (knows_too_much(state, slot))
        return "the IDs that it knows";
    if (client->id != STATE_NO_ID && (!(view_word(state, slot, id).spent >> (id % 64) & 1) ||
                                      view_word(state, slot, id).told >> (id % 64) & 1))
        return "what it knows of itself";
    return NULL;
}

int state_check_progress(const State *state, ErrorText *error)
{
    uint32_t slot;

    BITMAP_FOREACH(slot, state->connected, state->header->max_clients) {
        const char *wrong = check_told(state, slot);

        if (wrong)
            return damaged(error, "client", slot, wrong);
    }
    return 0;
}
