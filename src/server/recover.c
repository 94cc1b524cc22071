/* SPDX-License-Identifier: MIT */
#include "server/recover.h"

#include "server/core.h"
#include "server/setup.h"
#include "server/state-check.h"
#include "server/view.h"
#include "util/cleanup.h"
#include "util/pages.h"
#include "util/sys.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* Settles the batch: what the kernel has taken counts, the rest was never planned. Its messages are
 * made ready for this process, whose mapping has another address. */
static void settle_batch(ServerCore *core)
{
    StateBatch *batch = core->state.batch;
    uint32_t sent = 0;

    if (batch->phase != BATCH_IDLE) {
        while (batch->phase == BATCH_SENDING && sent < batch->n &&
               batch->messages.headers[sent].msg_len == FDPASS_MESSAGE_SIZE)
            sent++;
        outbox_take_back(core, sent);
    }
    fdpass_batch_init(&batch->messages);
}

/* Whether the slot counts. A reserved one does not without its listener. */
static bool is_alive(const ServerCore *core, uint32_t slot)
{
    const Client *client = &core->state.clients[slot];

    return client->in_use && (!client->reserved || listener_at(core, client->listener));
}

/* Which slots are in use, and who is present. */
static void rebuild_world(ServerCore *core)
{
    State *state = &core->state;
    StateHeader *header = state->header;

    memset(state->slots, 0, BITMAP_WORDS(header->max_clients) * sizeof(uint64_t));
    memset(state->connected, 0, BITMAP_WORDS(header->max_clients) * sizeof(uint64_t));
    memset(state->present, 0, BITMAP_WORDS(WIRE_N_IDS) * sizeof(uint64_t));
    header->n_clients = 0;
    for (uint32_t slot = 0; slot < header->slot_limit; slot++) {
        Client *client = &state->clients[slot];

        client->in_use = is_alive(core, slot);
        if (!client->in_use || client->sock_fd < 0)
            client->kept = client->sealed = 0;
        if (!client->in_use)
            continue;
        header->n_clients++;
        bitmap_set(state->slots, slot);
        if (client->sock_fd >= 0)
            bitmap_set(state->connected, slot);
        else
            state_reset_progress(client);
        if (client->id == STATE_NO_ID)
            continue;
        state->holders[client->id] = slot;
        bitmap_set(state->present, (uint32_t)client->id);
    }
}

/* Who knows which IDs, after the batch was settled. */
static int rebuild_ids(ServerCore *core)
{
    uint32_t n = core->ids.n;
    int r;

    ids_free(&core->ids);
    r = ids_new(&core->ids, n, &core->state.header->id_floor);
    if (r < 0)
        return r;
    view_survey(&core->state, &core->ids);
    return 0;
}

static int rebuild_listeners(ServerCore *core)
{
    int64_t now = deadline_now();
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < core->state.header->listener_limit; i++) {
        Listener *listener = listener_at(core, i);

        if (!listener)
            continue;
        listener->n_clients = 0;
        listener->accept.waiting = false;
        listener->accept.told_at = 0;
        if (listener->accept.paid_until < 0 || listener->accept.paid_until > now)
            listener->accept.paid_until = now;
        if (listener->observers && core->ids.n > CLIENT_OBSERVER_ID)
            core->ids.n = CLIENT_OBSERVER_ID;
        r = core_watch(core, EPOLL_CTL_ADD, listener->socket.fd, EPOLLIN, EVENT(EVENT_LISTENER, i));
    }
    return r;
}

static int rebuild_client(ServerCore *core, uint32_t slot)
{
    State *state = &core->state;
    Client *client = &state->clients[slot];
    Listener *listener = &state->listeners[client->listener];
    int64_t now = deadline_now();
    int r = uids_add(&core->uids, client->uid);

    if (r < 0)
        return r;
    if (client->accepted_at < 0 || client->accepted_at > now)
        client->accepted_at = now; /* by another clock than ours */
    client->scan = 0;
    client->seen = state->header->n_changes;
    flight_join(&core->flight, client);
    listener->n_clients++;
    outbox_return(&core->outbox, slot);
    (void)peers_append(&core->peers, &core->server->peer_list, state, slot, listener->name);
    if (!client->has_read_setup)
        setup_began(core, slot);
    return 0;
}

/* What nobody but the client itself waits for. */
int recover_client(ServerCore *core, uint32_t slot)
{
    Client *client = &core->state.clients[slot];
    int r = core_watch(core, EPOLL_CTL_ADD, client->sock_fd, EPOLLIN, EVENT(EVENT_CLIENT, slot));

    if (r < 0)
        return r;
    if (client->parked)
        flight_unpark(&core->flight, client);
    client->parked = false;
    flight_sent(&core->flight, client, flight_messages(&core->flight, client));
    outbox_remove(&core->outbox, slot);
    outbox_add(&core->outbox, slot);
    return 0;
}

bool recover_has_work(const ServerCore *core)
{
    return !core->recovers_later && (core->outbox.n_returning > 0 || core->ids.uncounted);
}

void recover_turn(ServerCore *core, bool has_accepted)
{
    const Outbox *outbox = &core->outbox;
    uint32_t slot, n = 0;

    if (!recover_has_work(core))
        return;
    if (has_accepted)
        (void)sched_yield(); /* seccomp: sched_yield */
    if (outbox->n_returning == 0)
        view_settle_next(&core->state, &core->ids);
    BITMAP_FOREACH(slot, outbox->returning, outbox->n_slots) {
        if (n++ == RECOVER_TURN)
            return;
        if (recover_client(core, slot) < 0) {
            core->recovers_later = true;
            timers_set(&core->timers, TIMER_RETRY, deadline_now() + OUTBOX_RETRY_NS);
            return;
        }
    }
}

static int compare_age(const void *a, const void *b, void *clients)
{
    const Client *first = (const Client *)clients + *(const uint32_t *)a;
    const Client *second = (const Client *)clients + *(const uint32_t *)b;

    return (first->connected_at > second->connected_at) -
           (first->connected_at < second->connected_at);
}

/* The connections, oldest first, as the list of peers has them. To sort more than a kilobyte, glibc
 * before 2.37 asks how much memory there is. seccomp: sysinfo */
static int rebuild_clients(ServerCore *core)
{
    State *state = &core->state;
    _cleanup_free_ uint32_t *slots = malloc((state->header->n_clients + 1) * sizeof(*slots));
    uint32_t slot, n = 0;
    bool is_sorted = true; /* as it is until a slot is used again */
    int r = slots ? 0 : -ENOMEM;

    if (r < 0)
        return r;
    BITMAP_FOREACH(slot, state->connected, state->header->max_clients) {
        is_sorted &= n == 0 || compare_age(&slots[n - 1], &slot, state->clients) <= 0;
        slots[n++] = slot;
    }
    if (!is_sorted)
        qsort_r(slots, n, sizeof(*slots), compare_age, state->clients);
    for (uint32_t i = 0; r == 0 && i < n; i++)
        r = rebuild_client(core, slots[i]);
    return r;
}

/* What is looked at and written to next has to be mapped: in one call each, not by a fault a page.
 */
static void fetch_records(const State *state)
{
    const StateHeader *header = state->header;

    pages_make(state->clients, header->slot_limit * sizeof(*state->clients));
    pages_make(state->eventfds,
               (size_t)header->slot_limit * header->max_vectors * sizeof(*state->eventfds));
}

int recover(ServerCore *core, ErrorText *error)
{
    int r;

    fetch_records(&core->state);
    r = state_check(&core->state, core->ids.n, error);

    if (r < 0)
        return r;
    settle_batch(core);
    rebuild_world(core);
    view_fetch(&core->state);
    if ((r = state_check_progress(&core->state, error)) < 0 || (r = rebuild_ids(core)) < 0 ||
        (r = rebuild_listeners(core)) < 0)
        return r;
    return rebuild_clients(core);
}

/* seccomp: getsockname */
int recover_adopt(ServerCore *core, int sock)
{
    struct sockaddr_un address = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof(address);

    if (getsockname(sock, (struct sockaddr *)&address, &size) < 0 || address.sun_family != AF_UNIX)
        return -ENOENT;
    for (uint32_t i = 0; i < core->state.header->listener_limit; i++) {
        Listener *listener = listener_at(core, i);

        if (listener &&
            strncmp(listener->socket.path, address.sun_path, sizeof(address.sun_path)) == 0) {
            (void)accept_take(core, listener, sock);
            return 0;
        }
    }
    return -ENOENT;
}
