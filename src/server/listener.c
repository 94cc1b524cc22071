/* SPDX-License-Identifier: MIT */
#include "server/listener.h"

#include "server/client.h"
#include "server/core.h"
#include "server/view.h"
#include "util/sys.h"

#include <errno.h>
#include <string.h>

Listener *listener_at(const ServerCore *core, uint32_t index)
{
    Listener *listener = &core->state.listeners[index];

    return index < core->state.header->listener_limit && listener->in_use ? listener : NULL;
}

/* A free place in the table, or NULL. */
static Listener *find_place(State *state)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        if (i == state->header->listener_limit)
            state->header->listener_limit = i + 1;
        if (!state->listeners[i].in_use) {
            state->listeners[i] = (Listener){.index = i};
            return &state->listeners[i];
        }
    }
    return NULL;
}

static bool is_taken(ServerCore *core, uint32_t id)
{
    view_settle(&core->state, &core->ids, id);
    return bitmap_test(core->ids.taken, id);
}

static int check(ServerCore *core, const IvshmemServerListenerConfig *config)
{
    IvshmemServer *server = core->server;

    if (config->n_vectors > server->n_vectors)
        return core_fail(server, -ERANGE, "listener %s: %u vectors are more than the region's %u",
                         config->unix_sock_path, config->n_vectors, server->n_vectors);
    if (config->observers && config->reserved_id >= 0)
        return core_fail(server, -EINVAL, "listener %s: an observer has no ID to reserve",
                         config->unix_sock_path);
    if (config->reserved_id >= (int64_t)core->ids.n)
        return core_fail(server, -ERANGE, "listener %s: ID %lld is not below %u",
                         config->unix_sock_path, (long long)config->reserved_id, core->ids.n);
    if (config->reserved_id >= 0 && is_taken(core, (uint32_t)config->reserved_id))
        return core_fail(server, -EBUSY,
                         "listener %s: ID %lld is in use, or a connected client has seen it leave",
                         config->unix_sock_path, (long long)config->reserved_id);
    if (config->reserved_id >= 0 &&
        core->state.header->n_clients == core->state.header->max_clients)
        return core_fail(server, -ENOSPC,
                         "listener %s: no room for ID %lld: clients and reserved identities are %u "
                         "at most together (see max-clients and ulimit -n)",
                         config->unix_sock_path, (long long)config->reserved_id,
                         core->state.header->max_clients);
    if (config->observers && core->ids.n > CLIENT_OBSERVER_ID && is_taken(core, CLIENT_OBSERVER_ID))
        return core_fail(server, -EBUSY, "ID %d, which observers need, is in use",
                         CLIENT_OBSERVER_ID);
    return 0;
}

/* Observers are all told the same ID of their own, which no peer may have from then on. */
static void keep_observer_id(ServerCore *core)
{
    if (core->ids.n > CLIENT_OBSERVER_ID)
        core->ids.n = CLIENT_OBSERVER_ID;
}

static int open_socket(ServerCore *core, Listener *listener,
                       const IvshmemServerListenerConfig *config)
{
    const ListenSpec spec = {
        .path = config->unix_sock_path,
        .backlog = (int)config->backlog,
        .mode = config->socket_mode,
        .uid = config->socket_uid,
        .gid = config->socket_gid,
        .fd = config->socket_fd,
    };
    ErrorText error;
    int r = 0;

    core_log(core->server, LOG_DEBUG, "%s socket %s",
             config->socket_fd < 0 ? "create & bind" : "listen at the given",
             config->unix_sock_path);
    if (listener->socket.lock_fd < 0)
        r = listen_socket_lock(&listener->socket, &spec, &error);
    if (r == 0)
        r = listen_socket_open(&listener->socket, &spec, &error);
    return r < 0 ? core_fail(core->server, r, "%s", error.text) : 0;
}

static int watch(ServerCore *core, const Listener *listener)
{
    int r = core_watch(core, EPOLL_CTL_ADD, listener->socket.fd, EPOLLIN,
                       EVENT(EVENT_LISTENER, listener->index));

    return r < 0 ? core_fail(core->server, r, "cannot poll %s: %s", listener->socket.path,
                             strerror(-r))
                 : 0;
}

/* A socket that was given to us stays open elsewhere, so that closing ours does not end its events.
 */
static void close_socket(ServerCore *core, Listener *listener)
{
    if (listener->socket.fd >= 0)
        (void)core_unwatch(core, listener->socket.fd);
    listen_socket_close(&listener->socket);
}

static void fill_in(Listener *listener, const ServerCore *core,
                    const IvshmemServerListenerConfig *config)
{
    *listener = (Listener){
        .index = listener->index,
        .socket = LISTEN_SOCKET_NONE,
        .n_vectors = config->n_vectors ? config->n_vectors : core->server->n_vectors,
        .max_clients = config->max_clients,
        .reserved_slot = STATE_NO_SLOT,
        .observers = config->observers,
        .read_only = config->read_only,
        .accept = {.rate = config->max_accepts_per_s},
    };
    (void)snprintf(listener->name, sizeof(listener->name), "%s", config->name ? config->name : "");
}

static int reserve(ServerCore *core, Listener *listener, const IvshmemServerListenerConfig *config)
{
    int r = client_reserve(core, listener, (uint32_t)config->reserved_id);

    if (r < 0)
        return core_fail(core->server, r, "listener %s: cannot reserve ID %lld: %s",
                         config->unix_sock_path, (long long)config->reserved_id, strerror(-r));
    return 0;
}

int listener_add(ServerCore *core, const IvshmemServerListenerConfig *config, ListenSocket *socket)
{
    Listener *listener = find_place(&core->state);
    int r;

    if (!listener)
        return core_fail(core->server, -ENOSPC, "no room for more than %d listeners",
                         LISTENERS_MAX);
    fill_in(listener, core, config);
    if (socket)
        listener->socket = *socket;
    if ((r = check(core, config)) == 0 && (r = open_socket(core, listener, config)) == 0 &&
        (r = watch(core, listener)) == 0 && config->reserved_id >= 0)
        r = reserve(core, listener, config);
    if (r < 0) {
        if (socket)
            listener->socket.lock_fd = -1; /* the caller's still */
        close_socket(core, listener);
        return r;
    }
    if (config->observers)
        keep_observer_id(core);
    if (socket)
        *socket = LISTEN_SOCKET_NONE;
    state_barrier();
    listener->in_use = true;
    return (int)listener->index;
}

void listener_remove(ServerCore *core, Listener *listener)
{
    listener->in_use = false;
    state_barrier();
    if (listener->reserved_slot != STATE_NO_SLOT)
        client_unreserve(core, listener);
    core->n_waiting -= listener->accept.waiting;
    lobby_clear(&core->lobby, listener);
    close_socket(core, listener);
}

bool listener_has_room(const ServerCore *core, const Listener *listener, uint32_t n_others,
                       uint32_t n_others_here)
{
    if (listener->max_clients && listener->n_clients + n_others_here >= listener->max_clients)
        return false;
    /* The slot of a reserved identity is there already; who comes while it is taken is refused. */
    return listener->reserved_slot != STATE_NO_SLOT ||
           core->state.header->n_clients + core->linger.n + n_others <
               core->state.header->max_clients;
}

void listeners_resume(ServerCore *core)
{
    if (!core->n_waiting)
        return;
    for (uint32_t i = 0; i < core->state.header->listener_limit; i++) {
        Listener *listener = listener_at(core, i);

        if (listener && listener->accept.waiting && lobby_has_room(core, listener))
            accept_resume(core, listener);
    }
}
