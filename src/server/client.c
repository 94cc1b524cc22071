/* SPDX-License-Identifier: MIT */
#include "server/client.h"

#include "server/core.h"
#include "server/identity.h"
#include "server/recover.h"
#include "server/setup.h"
#include "server/view.h"
#include "util/cleanup.h"
#include "util/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

const char *client_describe(int error)
{
    return error == -EPIPE || error == -ECONNRESET ? NULL : strerror(-error);
}

int client_watch(ServerCore *core, uint32_t slot, uint32_t events)
{
    return core_watch(core, EPOLL_CTL_MOD, core->state.clients[slot].sock_fd, events,
                      EVENT(EVENT_CLIENT, slot));
}

static int64_t wall_clock(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int try_read_only(const Region *region)
{
    int fd = region_open_again(region, true);

    fd_close(fd);
    return fd < 0 ? fd : 0;
}

bool client_is_gone(int sock)
{
    char byte;

    return recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

/* The reserved slot, if nobody lives in it. A client that has just died may not have been noticed.
 */
static int take_reserved_slot(ServerCore *core, uint32_t slot)
{
    const Client *client = &core->state.clients[slot];

    if (client->sock_fd >= 0 && client_is_gone(client->sock_fd))
        client_close(core, slot, NULL);
    return client->sock_fd >= 0 ? -EBUSY : 0;
}

/* Gives a new slot its eventfds and, unless it is an observer's, an ID; nobody is told yet. */
static int fill_slot(ServerCore *core, const Listener *listener, uint32_t slot, int32_t *id)
{
    int r = identity_make(core, slot, listener->n_vectors);

    *id = STATE_NO_ID;
    if (r < 0 || listener->observers)
        return r;
    *id = identity_choose_id(core);
    if (*id != STATE_NO_ID)
        return 0;
    identity_unmake(core, slot);
    return -ENOSPC;
}

/* Everything of a connection that can fail. Undoes what it did if so. */
static int prepare(ServerCore *core, uint32_t slot, int sock, uid_t uid, bool read_only)
{
    int r = read_only ? try_read_only(&core->region) : 0;

    if (r < 0 || (r = uids_add(&core->uids, uid)) < 0)
        return r;
    r = core_watch(core, EPOLL_CTL_ADD, sock, EPOLLIN, EVENT(EVENT_CLIENT, slot));
    if (r < 0)
        uids_remove(&core->uids, uid);
    return r;
}

/* The connection is the slot's from now on. */
static void connect_slot(ServerCore *core, Listener *listener, uint32_t slot, int sock,
                         const IvshmemServerCredentials *who, bool read_only)
{
    State *state = &core->state;
    Client *client = &state->clients[slot];

    view_clear(state, &core->ids, slot);
    state_reset_progress(client);
    client->listener = listener->index;
    client->read_only = read_only;
    client->pid = who->pid;
    client->uid = who->uid;
    client->gid = who->gid;
    client->connected_at = wall_clock();
    client->accepted_at = deadline_now();
    client->seen = state->header->n_changes;
    if (client->id != STATE_NO_ID)
        view_spend_own(state, &core->ids, slot, (uint32_t)client->id);
    state_barrier();
    client->sock_fd = sock;
    state_barrier();
    client->in_use = true;
    bitmap_set(state->connected, slot);
    outbox_add(&core->outbox, slot);
    flight_join(&core->flight, client);
    listener->n_clients++;
    listener->n_joins++;
    core->state.header->stats.n_joins++;
}

static void update_next_id(ServerCore *core)
{
    int32_t next = view_lowest_unknown(&core->state, &core->ids);

    core->server->cur_id = (uint16_t)(next == STATE_NO_ID ? 0 : next);
}

static void publish(ServerCore *core, const Listener *listener, uint32_t slot)
{
    IvshmemServer *server = core->server;
    const IvshmemServerPeer *peer =
        peers_append(&core->peers, &server->peer_list, &core->state, slot, listener->name);

    update_next_id(core);
    core_log(server, LOG_DEBUG, "new peer id = %" PRId64, peer->id);
    if (server->config_.peer_connected)
        server->config_.peer_connected(server->config_.opaque, server, peer);
}

static void drop_slot(ServerCore *core, uint32_t slot)
{
    identity_unmake(core, slot);
    state_drop_slot(&core->state, slot);
    listeners_resume(core);
}

/* A slot for a client of its own, prepared but for the connection. */
static int open_new(ServerCore *core, Listener *listener, int sock,
                    const IvshmemServerCredentials *who, bool read_only, uint32_t *out)
{
    uint32_t slot = state_take_slot(&core->state);
    int32_t id;
    int r;

    if (slot == STATE_NO_SLOT)
        return -EMFILE;
    r = fill_slot(core, listener, slot, &id);
    if (r < 0) {
        state_drop_slot(&core->state, slot);
        return r;
    }
    r = prepare(core, slot, sock, who->uid, read_only);
    if (r < 0) {
        drop_slot(core, slot);
        return r;
    }
    if (id != STATE_NO_ID)
        identity_join(core, slot, (uint32_t)id);
    *out = slot;
    return 0;
}

static int open_reserved(ServerCore *core, const Listener *listener, int sock,
                         const IvshmemServerCredentials *who, bool read_only, uint32_t *out)
{
    int r = take_reserved_slot(core, listener->reserved_slot);

    if (r == 0)
        r = prepare(core, listener->reserved_slot, sock, who->uid, read_only);
    *out = listener->reserved_slot;
    return r;
}

int client_open(ServerCore *core, Listener *listener, int sock, const IvshmemServerCredentials *who,
                bool read_only)
{
    uint32_t slot;
    int r = listener->reserved_slot == STATE_NO_SLOT
                ? open_new(core, listener, sock, who, read_only, &slot)
                : open_reserved(core, listener, sock, who, read_only, &slot);

    if (r < 0)
        return r;
    connect_slot(core, listener, slot, sock, who, read_only);
    publish(core, listener, slot);
    setup_began(core, slot);
    r = outbox_send(core, slot);
    if (r < 0)
        client_close(core, slot, client_describe(r));
    return 0;
}

static void tell_end(const ServerCore *core, const Client *client, const char *why)
{
    const char *name = core->state.listeners[client->listener].name;

    core_log(core->server, LOG_DEBUG, "free peer %" PRId32, client->id);
    if (why)
        core_log(core->server, LOG_INFO, "peer %" PRId32 "%s%s (pid %d, uid %u) disconnected: %s",
                 client->id, *name ? " " : "", name, (int)client->pid, (unsigned)client->uid, why);
}

/* Takes the connection out of the slot and ends it, at once or later. */
static void disconnect_slot(ServerCore *core, uint32_t slot)
{
    State *state = &core->state;
    Client *client = &state->clients[slot];
    uint32_t unread = flight_unread(&core->flight, client);
    int sock = client->sock_fd;

    /* Whoever goes on after us must not take the connection for a new one: it has ended.
     * seccomp: shutdown close */
    (void)shutdown(sock, SHUT_RDWR);
    if (core_unwatch(core, sock) < 0)
        unread = 0; /* it must be closed now: that takes it out of the loop, too */
    if (!client->reserved)
        client->in_use = false;
    state_barrier();
    client->sock_fd = -1;
    state_barrier();
    bitmap_clear(state->connected, slot);
    outbox_remove(&core->outbox, slot);
    flight_forget(&core->flight, client);
    uids_remove(&core->uids, client->uid);
    linger_add(core, sock, client->uid, unread);
    state->listeners[client->listener].n_clients--;
    state->header->stats.n_departures++;
    view_clear(state, &core->ids, slot);
}

void client_close(ServerCore *core, uint32_t slot, const char *why)
{
    IvshmemServer *server = core->server;
    const Client *client = &core->state.clients[slot];
    const IvshmemServerPeer *peer = peers_remove(&core->peers, &server->peer_list, slot);

    if (bitmap_test(core->outbox.returning, slot))
        (void)recover_client(core, slot); /* what it has not read is to be known */
    tell_end(core, client, why);
    disconnect_slot(core, slot);
    if (client->reserved) {
        listeners_resume(core); /* its listener may have a limit of its own */
    } else {
        if (client->id != STATE_NO_ID)
            identity_leave(core, slot);
        drop_slot(core, slot);
    }
    update_next_id(core);
    if (server->config_.peer_left)
        server->config_.peer_left(server->config_.opaque, server, peer);
}

int client_reserve(ServerCore *core, Listener *listener, uint32_t id)
{
    uint32_t slot = state_take_slot(&core->state);
    int r;

    if (slot == STATE_NO_SLOT)
        return -ENOSPC;
    r = identity_make(core, slot, listener->n_vectors);
    if (r < 0) {
        state_drop_slot(&core->state, slot);
        return r;
    }
    core->state.clients[slot].reserved = true;
    core->state.clients[slot].listener = listener->index;
    listener->reserved_slot = slot;
    identity_join(core, slot, id);
    state_barrier();
    core->state.clients[slot].in_use = true;
    update_next_id(core);
    return 0;
}

void client_unreserve(ServerCore *core, Listener *listener)
{
    uint32_t slot = listener->reserved_slot;

    listener->reserved_slot = STATE_NO_SLOT;
    core->state.clients[slot].in_use = false;
    state_barrier();
    identity_leave(core, slot);
    drop_slot(core, slot);
    update_next_id(core);
}
