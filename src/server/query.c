/* SPDX-License-Identifier: MIT */
/* The public functions that look at a started server, or change it while it runs. */
#include "ivshmem-server.h"

#include "server/client.h"
#include "server/core.h"
#include "server/dispatch.h"
#include "server/plan.h"
#include "server/recover.h"
#include "server/view.h"
#include "util/plural.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

IvshmemServerPeer *ivshmem_server_search_peer(IvshmemServer *server, int64_t peer_id)
{
    ServerCore *core = server->core_;
    uint32_t slot;

    if (!core || peer_id < 0 || peer_id > WIRE_MAX_ID ||
        !bitmap_test(core->state.present, (uint32_t)peer_id))
        return NULL;
    slot = core->state.holders[peer_id];
    return bitmap_test(core->state.connected, slot) ? &core->peers.of_slot[slot] : NULL;
}

void ivshmem_server_dump(const IvshmemServer *server)
{
    const IvshmemServerPeer *peer;

    (void)printf("ivshmem server at %s\n", server->unix_sock_path);
    (void)printf("shared memory: %s, %zu bytes, fd %d\n", server->shm_path, server->shm_size,
                 server->shm_fd);
    IVSHMEM_SERVER_FOREACH_PEER(peer, server) {
        (void)printf("peer_id: %" PRId64 ", fd %d, pid %d, uid %u, %u vectors\n", peer->id,
                     peer->sock_fd, (int)peer->pid, (unsigned)peer->uid, peer->vectors_count);
        for (unsigned i = 0; i < peer->vectors_count; i++)
            (void)printf("  vector %u is fd %d\n", i, peer->vectors[i]);
    }
}

const char *ivshmem_server_error(const IvshmemServer *server)
{
    return server->error_;
}

unsigned ivshmem_server_max_clients(const IvshmemServer *server)
{
    return server->core_ ? server->core_->state.header->max_clients : 0;
}

unsigned ivshmem_server_ids_left(const IvshmemServer *server)
{
    return server->core_ ? server->core_->ids.n - ivshmem_server_ids_used(server) : 0;
}

unsigned ivshmem_server_ids_used(const IvshmemServer *server)
{
    if (!server->core_)
        return 0;
    view_settle_all(&server->core_->state, &server->core_->ids);
    return server->core_->ids.n_taken;
}

void ivshmem_server_stats(const IvshmemServer *server, IvshmemServerStats *stats)
{
    *stats = server->core_ ? server->core_->state.header->stats : (IvshmemServerStats){0};
}

unsigned ivshmem_server_pending(const IvshmemServer *server, const IvshmemServerPeer *peer)
{
    const ServerCore *core = server->core_;

    return plan_count_due(&core->state, peers_slot(&core->peers, peer));
}

void ivshmem_server_disconnect(IvshmemServer *server, IvshmemServerPeer *peer)
{
    client_close(server->core_, peers_slot(&server->core_->peers, peer), "on request");
    dispatch_wake(server->core_);
}

void ivshmem_server_listener_config_init(IvshmemServerListenerConfig *config)
{
    IvshmemServerConfig defaults;

    ivshmem_server_config_init(&defaults);
    *config = (IvshmemServerListenerConfig){
        .socket_mode = defaults.socket_mode,
        .socket_uid = defaults.socket_uid,
        .socket_gid = defaults.socket_gid,
        .socket_fd = defaults.socket_fd,
        .backlog = defaults.backlog,
        .reserved_id = -1,
    };
}

int ivshmem_server_listener_add(IvshmemServer *server, const IvshmemServerListenerConfig *config)
{
    int r;

    if (!server->core_)
        return core_fail(server, -ENOTCONN, "the server is not started");
    r = listener_add(server->core_, config, NULL);
    dispatch_wake(server->core_);
    return r;
}

int ivshmem_server_n_listeners(const IvshmemServer *server)
{
    return server->core_ ? (int)server->core_->state.header->listener_limit : 0;
}

static Listener *find_listener(const IvshmemServer *server, int index)
{
    return index < 0 || index >= ivshmem_server_n_listeners(server)
               ? NULL
               : listener_at(server->core_, (uint32_t)index);
}

static void disconnect_all(ServerCore *core, const Listener *listener)
{
    uint32_t slot;

    BITMAP_FOREACH(slot, core->state.connected, core->state.header->max_clients)
        if (core->state.clients[slot].listener == listener->index)
            client_close(core, slot, "its listener is removed");
}

int ivshmem_server_listener_remove(IvshmemServer *server, int listener, bool force)
{
    Listener *found = find_listener(server, listener);

    if (!found)
        return core_fail(server, -ENOENT, "there is no listener %d", listener);
    if (found->n_clients && !force)
        return core_fail(server, -EBUSY, "%s has %u client%s", found->socket.path, found->n_clients,
                         plural(found->n_clients));
    disconnect_all(server->core_, found);
    if (server->sock_fd == found->socket.fd)
        server->sock_fd = -1;
    listener_remove(server->core_, found);
    dispatch_wake(server->core_);
    return 0;
}

int ivshmem_server_listener_info(const IvshmemServer *server, int listener,
                                 IvshmemServerListenerInfo *info)
{
    const Listener *found = find_listener(server, listener);

    if (!found)
        return -ENOENT;
    *info = (IvshmemServerListenerInfo){
        .name = found->name,
        .unix_sock_path = found->socket.path,
        .n_vectors = found->n_vectors,
        .n_clients = found->n_clients,
        .max_clients = found->max_clients,
        .n_joins = found->n_joins,
        .n_refusals = found->n_refusals,
        .read_only = found->read_only,
        .observers = found->observers,
        .reserved_id = found->reserved_slot == STATE_NO_SLOT
                           ? -1
                           : server->core_->state.clients[found->reserved_slot].id,
    };
    return 0;
}

void ivshmem_server_each_own_fd(const IvshmemServer *server, void (*named)(void *opaque, int fd),
                                void *opaque)
{
    const ServerCore *core = server->core_;
    const int own[] = {core->epoll_fd, core->wake_fd, core->reserve_fd, core->timers.fd};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        named(opaque, own[i]);
}

int ivshmem_server_adopt(IvshmemServer *server, int sock)
{
    return recover_adopt(server->core_, sock);
}
