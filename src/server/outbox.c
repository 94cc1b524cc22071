/* SPDX-License-Identifier: MIT */
#include "server/outbox.h"

#include "server/client.h"
#include "server/core.h"
#include "server/view.h"
#include "server/world.h"
#include "util/cleanup.h"
#include "util/sys.h"

#include <errno.h>
#include <stdlib.h>

int outbox_new(Outbox *outbox, uint32_t n_slots)
{
    size_t words = BITMAP_WORDS(n_slots);

    *outbox =
        (Outbox){.n_slots = n_slots, .memory_fd = -1, .ready = calloc(4 * words, sizeof(uint64_t))};
    if (!outbox->ready)
        return -ENOMEM;
    outbox->blocked = outbox->ready + words;
    outbox->later = outbox->blocked + words;
    outbox->returning = outbox->later + words;
    return 0;
}

void outbox_free(Outbox *outbox)
{
    free(outbox->ready);
    outbox->ready = outbox->blocked = outbox->later = outbox->returning = NULL;
}

void outbox_add(Outbox *outbox, uint32_t slot)
{
    bitmap_set(outbox->ready, slot);
}

void outbox_remove(Outbox *outbox, uint32_t slot)
{
    bitmap_clear(outbox->ready, slot);
    bitmap_clear(outbox->blocked, slot);
    bitmap_clear(outbox->later, slot);
    if (outbox->n_returning && bitmap_test(outbox->returning, slot)) {
        bitmap_clear(outbox->returning, slot);
        outbox->n_returning--;
    }
}

void outbox_return(Outbox *outbox, uint32_t slot)
{
    outbox->n_returning += !bitmap_test(outbox->returning, slot);
    bitmap_set(outbox->returning, slot);
}

void outbox_wake_all(Outbox *outbox, const State *state)
{
    for (size_t i = 0; i < BITMAP_WORDS(outbox->n_slots); i++)
        outbox->ready[i] |=
            state->connected[i] & ~(outbox->blocked[i] | outbox->later[i] | outbox->returning[i]);
}

void outbox_retry(Outbox *outbox)
{
    for (size_t i = 0; i < BITMAP_WORDS(outbox->n_slots); i++) {
        outbox->ready[i] |= outbox->later[i];
        outbox->later[i] = 0;
    }
}

bool outbox_has_work(const Outbox *outbox)
{
    return bitmap_next(outbox->ready, outbox->n_slots, 0) < outbox->n_slots;
}

static void move(Outbox *outbox, uint32_t slot, uint64_t *to)
{
    outbox_remove(outbox, slot);
    bitmap_set(to, slot);
}

/* Tries again after a while. */
static void put_off(ServerCore *core, uint32_t slot)
{
    move(&core->outbox, slot, core->outbox.later);
    core->state.header->stats.n_retries++;
    timers_set(&core->timers, TIMER_RETRY, deadline_now() + OUTBOX_RETRY_NS);
}

static void block(ServerCore *core, uint32_t slot)
{
    core->state.header->stats.n_retries++;
    if (client_watch(core, slot, EPOLLIN | EPOLLOUT) < 0)
        put_off(core, slot);
    else
        move(&core->outbox, slot, core->outbox.blocked);
}

void outbox_unblock(ServerCore *core, uint32_t slot)
{
    Client *client = &core->state.clients[slot];

    if (client->parked) {
        flight_unpark(&core->flight, client);
        client->parked = false;
    }
    if (client_watch(core, slot, EPOLLIN) < 0)
        put_off(core, slot);
    else
        move(&core->outbox, slot, core->outbox.ready);
}

/* Opens the memory for this client alone, so that the flags and the offset of the description are
 * nobody else's. Where that is not permitted (the object is another user's) all share ours; but one
 * that may only read never gets that. */
static int open_memory(ServerCore *core, const Client *client)
{
    core->outbox.memory_fd = region_open_again(&core->region, client->read_only);
    return core->outbox.memory_fd < 0 && client->read_only ? core->outbox.memory_fd : 0;
}

static int64_t own_id(const Client *client)
{
    return client->id == STATE_NO_ID ? CLIENT_OBSERVER_ID : client->id;
}

/* The message of a step. Gives the descriptor that goes with it, or -1. */
static int encode(const ServerCore *core, uint32_t slot, const Step *step, uint8_t *bytes)
{
    const State *state = &core->state;

    switch (step->kind) {
    case STEP_HELLO:
        wire_encode(bytes, step->n == 0   ? WIRE_PROTOCOL_VERSION
                           : step->n == 1 ? own_id(&state->clients[slot])
                                          : WIRE_MEMORY);
        if (step->n < 2)
            return -1;
        return core->outbox.memory_fd < 0 ? core->region.fd : core->outbox.memory_fd;
    case STEP_VECTOR:
        wire_encode(bytes, step->id);
        return state_eventfds(state, world_holder(state, step->id))[step->n];
    case STEP_OWN:
        wire_encode(bytes, own_id(&state->clients[slot]));
        return state_eventfds(state, slot)[step->n];
    case STEP_DEPARTURE:
        wire_encode(bytes, step->id);
        break;
    }
    return -1;
}

/* Plans a batch with at most `window` descriptors in it, or more if it may be wider. True if that
 * is all the news there is. */
static bool fill_batch(ServerCore *core, uint32_t slot, uint32_t window, bool wider)
{
    Client *client = &core->state.clients[slot];
    StateBatch *batch = core->state.batch;
    FdpassBatch *messages = &batch->messages;
    uint32_t n_fds = 0;

    fdpass_batch_clear(messages);
    batch->n = 0;
    batch->slot = slot;
    batch->mark = plan_mark(&core->state, slot);
    state_barrier();
    batch->phase = BATCH_PLANNING;
    while (batch->n < FDPASS_BATCH_MAX) {
        Step *step = &batch->steps[batch->n];
        uint8_t bytes[WIRE_MESSAGE_SIZE];
        int fd;

        if (n_fds == window && wider && plan_has_news(&core->state, slot))
            window = flight_widen(&core->flight, client, window);
        if (n_fds == window)
            break;
        if (!plan_find(&core->state, slot, step))
            return true;
        state_barrier();
        batch->n++;
        state_barrier();
        plan_enter(&core->state, &core->ids, slot, step);
        fd = encode(core, slot, step, bytes);
        n_fds += fd >= 0;
        fdpass_batch_add(messages, bytes, fd);
    }
    return false;
}

/* Sends the batch, and takes back what the kernel did not take. As fdpass_batch_send(). */
static int send_batch(ServerCore *core, int sock)
{
    StateBatch *batch = core->state.batch;
    int sent;

    state_barrier();
    batch->phase = BATCH_SENDING;
    state_barrier();
    sent = fdpass_batch_send(&batch->messages, sock);
    outbox_take_back(core, sent < 0 ? 0 : (uint32_t)sent);
    return sent;
}

void outbox_take_back(ServerCore *core, uint32_t sent)
{
    StateBatch *batch = core->state.batch;

    if (sent < batch->n)
        plan_take_back(&core->state, &core->ids, batch->slot, batch->mark, batch->steps + sent,
                       batch->n - sent);
    state_barrier();
    batch->phase = BATCH_IDLE;
}

static uint32_t count_fds(const FdpassBatch *messages, uint32_t n)
{
    uint32_t n_fds = 0;

    for (uint32_t i = 0; i < n; i++)
        n_fds += messages->headers[i].msg_hdr.msg_controllen > 0;
    return n_fds;
}

/* Decides when a client that the kernel took nothing for is to be served again. */
static int handle_failure(ServerCore *core, uint32_t slot, int error)
{
    switch (error) {
    case -EAGAIN:
        block(core, slot);
        return 0;
    case -ETOOMANYREFS:
        core->flight.budget->asked = core->flight.budget->limited = true;
        put_off(core, slot);
        return 0;
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
        put_off(core, slot);
        return 0;
    default:
        return error;
    }
}

/* The client has unread what it may have: it is served again when it has read. */
static void park(ServerCore *core, uint32_t slot)
{
    Client *client = &core->state.clients[slot];

    flight_park(&core->flight, client);
    client->parked = true;
    block(core, slot);
}

static void count_latency(IvshmemServerStats *stats, int64_t ns)
{
    unsigned bucket = 0;

    while (bucket + 1 < IVSHMEM_SERVER_LATENCY_BUCKETS && ns > INT64_C(10000) << bucket)
        bucket++;
    stats->latency[bucket]++;
    stats->latency_sum += (uint64_t)ns;
}

/* Whoever is served next is most likely to be told of the same ID. What will be looked at for that
 * comes from memory while the kernel sends: with thousands of clients it is not in the cache. */
static void prefetch_next(const ServerCore *core, uint32_t slot)
{
    const Outbox *outbox = &core->outbox;
    uint32_t next = bitmap_next(outbox->ready, outbox->n_slots, slot + 1);

    if (next < outbox->n_slots) {
        __builtin_prefetch(&core->state.clients[next]);
        __builtin_prefetch(view_cell(&core->state, next, core->state.batch->steps[0].id));
    }
}

int outbox_send(ServerCore *core, uint32_t slot)
{
    Outbox *outbox = &core->outbox;
    StateBatch *batch = core->state.batch;
    Client *client = &core->state.clients[slot];
    bool first = client->hello_sent < CLIENT_HELLOS; /* never waits for others */
    uint32_t window = first ? 1 : flight_window(&core->flight, client);
    bool all;
    int sent;

    if (first && (sent = open_memory(core, client)) < 0)
        return handle_failure(core, slot, sent);
    all = fill_batch(core, slot, window, !first);
    if (batch->n == 0) {
        batch->phase = BATCH_IDLE;
        if (window == 0 && plan_has_news(&core->state, slot))
            park(core, slot);
        else
            bitmap_clear(outbox->ready, slot);
        return 0;
    }
    prefetch_next(core, slot);
    sent = send_batch(core, client->sock_fd);
    outbox->memory_fd = fd_close(outbox->memory_fd);
    if (sent < 0)
        return handle_failure(core, slot, sent);
    if ((uint32_t)sent < batch->n)
        block(core, slot); /* for whatever reason: if it is another, EPOLLOUT comes at once */
    else if (all)
        bitmap_clear(outbox->ready, slot);
    flight_sent(&core->flight, client, count_fds(&batch->messages, (uint32_t)sent));
    core->state.header->stats.n_messages += (uint32_t)sent;
    if (first && client->hello_sent == CLIENT_HELLOS)
        count_latency(&core->state.header->stats, deadline_now() - client->accepted_at);
    return sent;
}

void outbox_turn(ServerCore *core)
{
    Outbox *outbox = &core->outbox;
    int left = OUTBOX_TURN;

    /* A visit may send nothing, so visits are bounded, too. */
    for (unsigned visits = 0; left > 0 && visits < OUTBOX_TURN; visits++) {
        uint32_t slot = bitmap_next(outbox->ready, outbox->n_slots, outbox->next);
        int sent;

        if (slot == outbox->n_slots)
            slot = bitmap_next(outbox->ready, outbox->n_slots, 0);
        if (slot == outbox->n_slots)
            break;
        outbox->next = slot + 1;
        sent = outbox_send(core, slot);
        if (sent < 0)
            client_close(core, slot, client_describe(sent));
        else
            left -= sent;
    }
}
