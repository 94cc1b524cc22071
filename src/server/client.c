/* SPDX-License-Identifier: MIT */
#include "server/client.h"

#include "server/core.h"
#include "server/setup.h"
#include "server/view.h"
#include "server/world.h"
#include "util/cleanup.h"
#include "util/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

const char *client_describe(int error)
{
    return error == -EPIPE || error == -ECONNRESET ? NULL : strerror(-error);
}

/* seccomp: epoll_ctl close */
int client_watch(ServerCore *core, uint32_t slot, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = slot};

    if (sys.epoll_ctl(core->epoll_fd, EPOLL_CTL_MOD, core->state.clients[slot].sock_fd, &event) < 0)
        return -errno;
    return 0;
}

static int watch_first(ServerCore *core, uint32_t slot, int sock)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = slot};

    return sys.epoll_ctl(core->epoll_fd, EPOLL_CTL_ADD, sock, &event) < 0 ? -errno : 0;
}

static void close_eventfds(const State *state, uint32_t slot, uint32_t n)
{
    int32_t *fds = state_eventfds(state, slot);

    while (n-- > 0)
        fds[n] = fd_close(fds[n]);
}

/* seccomp: eventfd2
 *
 * QEMU sets O_NONBLOCK on the eventfds that it gets; the flag is shared, so they are born with it.
 */
static int make_eventfds(const State *state, uint32_t slot, uint32_t n)
{
    int32_t *fds = state_eventfds(state, slot);

    for (uint32_t i = 0; i < n; i++) {
        fds[i] = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fds[i] < 0) {
            int r = -errno;

            close_eventfds(state, slot, i);
            return r;
        }
    }
    return 0;
}

/* An ID that comes back although somebody knows it: he must get the departure of the one who had
 * it, and never hears of the new one. */
static void recycle_id(ServerCore *core, uint32_t id)
{
    uint32_t slot;

    BITMAP_FOREACH(slot, core->state.slots, core->state.header->max_clients)
        view_outdate(&core->state, slot, id);
    core_log(core->server, LOG_WARNING,
             "no unused ID is left: peer %u gets one that %u connected clients will not be told of",
             id, core->ids.known[id]);
}

/* Says once that IDs are running out, and again only when there were enough in between. */
static void warn_of_few_ids(ServerCore *core)
{
    uint32_t n = core->ids.n_taken;

    uint32_t warn_at = core->ids.n / 10 * 8;

    if (n >= warn_at && !core->ids_warned)
        core_log(core->server, LOG_WARNING,
                 "%u of %u IDs are used up by clients that have stayed while others came and went; "
                 "restarting the oldest clients frees them",
                 n, core->ids.n);
    core->ids_warned = n >= warn_at || (core->ids_warned && n >= warn_at / 2);
}

static int32_t choose_id(ServerCore *core)
{
    int32_t id = ids_lowest_unknown(&core->ids);

    warn_of_few_ids(core);
    if (id != STATE_NO_ID)
        return id;
    id = ids_least_known(&core->ids, &core->state);
    if (id != STATE_NO_ID)
        recycle_id(core, (uint32_t)id);
    return id;
}

static int64_t wall_clock(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* The client becomes part of the world. */
static void join(ServerCore *core, uint32_t slot, int sock, uint32_t id,
                 const IvshmemServerCredentials *who, bool read_only)
{
    State *state = &core->state;
    Client *client = &state->clients[slot];

    client->sock_fd = sock;
    client->id = (int32_t)id;
    client->n_vectors = core->server->n_vectors;
    client->read_only = read_only;
    client->pid = who->pid;
    client->uid = who->uid;
    client->gid = who->gid;
    client->connected_at = wall_clock();
    client->accepted_at = timers_now();
    client->seen = state->header->n_changes;
    world_join(state, slot, id);
    view_spend_own(state, &core->ids, slot, id);
    outbox_wake_all(&core->outbox, state);
    outbox_add(&core->outbox, slot);
}

static int try_read_only(const Region *region)
{
    int fd = region_open_again(region, true);

    fd_close(fd);
    return fd < 0 ? fd : 0;
}

/* Everything that can fail before the client is part of the world. Undoes what it did if so. */
static int prepare(ServerCore *core, uint32_t slot, int sock, uid_t uid, bool read_only)
{
    uint32_t n_vectors = core->server->n_vectors;
    int r = read_only ? try_read_only(&core->region) : 0;

    if (r < 0 || (r = make_eventfds(&core->state, slot, n_vectors)) < 0)
        return r;
    r = uids_add(&core->uids, uid);
    if (r == 0) {
        r = watch_first(core, slot, sock);
        if (r < 0)
            uids_remove(&core->uids, uid);
    }
    if (r < 0)
        close_eventfds(&core->state, slot, n_vectors);
    return r;
}

static void update_next_id(ServerCore *core)
{
    int32_t next = ids_lowest_unknown(&core->ids);

    core->server->cur_id = (uint16_t)(next == STATE_NO_ID ? 0 : next);
}

static void publish(ServerCore *core, uint32_t slot)
{
    IvshmemServer *server = core->server;
    const IvshmemServerPeer *peer =
        peers_append(&core->peers, &server->peer_list, &core->state, slot);

    update_next_id(core);
    core_log(server, LOG_DEBUG, "new peer id = %" PRId64, peer->id);
    if (server->config_.peer_connected)
        server->config_.peer_connected(server->config_.opaque, server, peer);
}

int client_open(ServerCore *core, int sock, const IvshmemServerCredentials *who, bool read_only)
{
    uint32_t slot = state_take_slot(&core->state);
    int32_t id;
    int r;

    if (slot == STATE_NO_SLOT)
        return -EMFILE;
    r = prepare(core, slot, sock, who->uid, read_only);
    if (r < 0) {
        state_drop_slot(&core->state, slot);
        return r;
    }
    id = choose_id(core);
    if (id == STATE_NO_ID) {
        (void)sys.epoll_ctl(core->epoll_fd, EPOLL_CTL_DEL, sock, NULL);
        close_eventfds(&core->state, slot, core->server->n_vectors);
        uids_remove(&core->uids, who->uid);
        state_drop_slot(&core->state, slot);
        return -ENOSPC;
    }
    join(core, slot, sock, (uint32_t)id, who, read_only);
    publish(core, slot);
    setup_began(core, slot);
    r = outbox_send(core, slot);
    if (r < 0)
        client_close(core, slot, client_describe(r));
    return 0;
}

void client_close(ServerCore *core, uint32_t slot, const char *why)
{
    IvshmemServer *server = core->server;
    State *state = &core->state;
    Client *client = &state->clients[slot];
    const IvshmemServerPeer *peer = peers_remove(&core->peers, &server->peer_list, slot);

    core_log(server, LOG_DEBUG, "free peer %" PRId32, client->id);
    if (why)
        core_log(server, LOG_INFO, "peer %" PRId32 " (pid %d, uid %u) disconnected: %s", client->id,
                 (int)client->pid, (unsigned)client->uid, why);
    world_leave(state, (uint32_t)client->id);
    view_clear(state, &core->ids, slot);
    outbox_remove(&core->outbox, slot);
    flight_forget(&core->flight, client);
    uids_remove(&core->uids, client->uid);
    close_eventfds(state, slot, client->n_vectors);
    client->sock_fd = fd_close(client->sock_fd);
    state_drop_slot(state, slot);
    outbox_wake_all(&core->outbox, state);
    accept_resume(core);
    update_next_id(core);
    if (server->config_.peer_left)
        server->config_.peer_left(server->config_.opaque, server, peer);
}
