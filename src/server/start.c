/* SPDX-License-Identifier: MIT */
/* How a server comes to be, from nothing or from the state of another process, and how it ends. */
#include "ivshmem-server.h"
#include "server/client.h"
#include "server/core.h"
#include "server/dispatch.h"
#include "server/map.h"
#include "server/recover.h"
#include "server/view.h"
#include "util/cleanup.h"
#include "util/size.h"
#include "util/sys.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

static void core_free(ServerCore *core)
{
    if (!core)
        return;
    lobby_free(&core->lobby);
    linger_free(&core->linger);
    flight_leave(&core->flight);
    region_close(&core->region); /* while the path is ours: see lock_first() */
    listen_socket_close(&core->first);
    timers_free(&core->timers);
    fd_close(core->epoll_fd);
    fd_close(core->wake_fd);
    fd_close(core->reserve_fd);
    outbox_free(&core->outbox);
    peers_free(&core->peers);
    uids_free(&core->uids);
    ids_free(&core->ids);
    state_free(&core->state);
    free(core);
}

static void core_freep(ServerCore **core)
{
    core_free(*core);
}

/* What is this process's alone. seccomp: epoll_create1 eventfd2 */
static int open_loop(ServerCore *core)
{
    int r;

    core->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    core->wake_fd = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    core->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (core->epoll_fd < 0 || core->wake_fd < 0 || core->reserve_fd < 0)
        return -errno;
    if ((r = timers_new(&core->timers)) < 0 || (r = flight_init(&core->flight, &core->state)) < 0)
        return r;
    r = core_watch(core, EPOLL_CTL_ADD, core->timers.fd, EPOLLIN, EVENT(EVENT_TIMER, 0));
    if (r < 0)
        return r;
    return core_watch(core, EPOLL_CTL_ADD, core->wake_fd, EPOLLIN, EVENT(EVENT_WAKE, 0));
}

static int new_state(ServerCore *core)
{
    const IvshmemServer *server = core->server;
    unsigned wanted = server->config_.max_clients, most = accept_most_clients(server->n_vectors);

    if (most == 0)
        return -EMFILE;
    if (wanted && wanted < most)
        most = wanted;
    return state_new(&core->state, server->config_.state_fd, most, server->n_vectors);
}

/* What is derived from the state, of one that nothing has happened in. */
static int new_tables(ServerCore *core)
{
    uint32_t most = core->state.header->max_clients;
    int r;

    if ((r = ids_new(&core->ids, core->server->config_.n_ids, &core->state.header->id_floor)) < 0 ||
        (r = outbox_new(&core->outbox, most)) < 0)
        return r;
    return peers_new(&core->peers, most);
}

static int open_memory(ServerCore *core)
{
    IvshmemServer *server = core->server;
    RegionKind kind = (RegionKind)server->config_.memory;
    ErrorText error;
    const RegionSpec spec = {
        .kind = kind,
        .name = server->shm_path,
        .size = server->shm_size,
        .no_reserve = server->config_.no_reserve,
        .huge_page_size = server->config_.huge_page_size,
        .owner = server->config_.memory_uid,
        .group = server->config_.memory_gid,
    };
    int r = region_open(&core->region, &spec, &error);

    if (r < 0)
        return core_fail(server, r, "%s", error.text);
    core->state.header->memory_fd = core->region.fd;
    core->state.header->memory_made = core->region.made;
    core_log(server, LOG_DEBUG, "Using %s: %s",
             kind == REGION_POSIX       ? "POSIX shared memory"
             : kind == REGION_DIRECTORY ? "file-backed shared memory"
                                        : "sealed memfd",
             server->shm_path);
    return 0;
}

/* The first listener's path is locked before the memory is touched, and until it is removed. Two
 * servers that start at once would both take the memory otherwise, and the one that made it would
 * remove it when it finds that the other has the path; and one that ends would remove what its
 * successor has taken. */
static int lock_first(ServerCore *core)
{
    IvshmemServer *server = core->server;
    const ListenSpec spec = {
        .path = server->unix_sock_path,
        .uid = server->config_.socket_uid,
        .fd = server->config_.socket_fd,
    };
    ErrorText error;
    int r = listen_socket_lock(&core->first, &spec, &error);

    return r < 0 ? core_fail(server, r, "%s", error.text) : 0;
}

static int open_first(ServerCore *core)
{
    IvshmemServer *server = core->server;
    IvshmemServerListenerConfig config;

    ivshmem_server_listener_config_init(&config);
    config.unix_sock_path = server->unix_sock_path;
    config.socket_mode = server->config_.socket_mode;
    config.socket_uid = server->config_.socket_uid;
    config.socket_gid = server->config_.socket_gid;
    config.socket_fd = server->config_.socket_fd;
    config.backlog = server->config_.backlog;
    config.max_accepts_per_s = server->config_.max_accepts_per_s;
    return listener_add(core, &config, &core->first);
}

static int open_all(ServerCore *core)
{
    bool has_first = *core->server->unix_sock_path;
    int r;

    if (has_first && (r = lock_first(core)) < 0)
        return r;
    if ((r = open_memory(core)) < 0)
        return r;
    return has_first ? open_first(core) : 0;
}

static void tell_rounding(const IvshmemServer *server)
{
    char size[SIZE_TEXT_MAX];

    if (server->shm_size == server->config_.shm_size)
        return;
    size_format(server->shm_size, size);
    core_log(server, LOG_NOTICE, "the size of the shared memory is rounded up to %s", size);
}

static ServerCore *core_new(IvshmemServer *server)
{
    ServerCore *core = calloc(1, sizeof(*core));

    if (!core)
        return NULL;
    core->server = server;
    core->epoll_fd = core->wake_fd = core->reserve_fd = core->timers.fd = -1;
    core->region.fd = -1;
    core->first = LISTEN_SOCKET_NONE;
    return core;
}

/* What the caller can read of a started server. */
static void show(IvshmemServer *server, ServerCore *core)
{
    const Listener *first = listener_at(core, 0);
    int32_t next = view_lowest_unknown(&core->state, &core->ids);

    server->sock_fd = first ? first->socket.fd : -1;
    server->shm_fd = core->region.fd;
    server->cur_id = (uint16_t)(next == STATE_NO_ID ? 0 : next);
}

int ivshmem_server_start(IvshmemServer *server)
{
    _cleanup_(core_freep) ServerCore *core = NULL;
    int r;

    if (server->core_)
        return core_fail(server, -EALREADY, "the server at %s is started already",
                         server->unix_sock_path);
    core = core_new(server);
    if (!core)
        return core_fail(server, -ENOMEM, "out of memory");
    if ((r = open_loop(core)) < 0 || (r = new_state(core)) < 0 || (r = new_tables(core)) < 0)
        return core_fail(server, r, "cannot set up a server: %s%s", strerror(-r),
                         r == -EMFILE ? " (see ulimit -n)" : "");
    r = open_all(core);
    if (r < 0)
        return r;
    show(server, core);
    server->core_ = ptr_steal(core);
    tell_rounding(server);
    return 0;
}

/* The memory as another process has left it. */
static void resume_memory(ServerCore *core)
{
    const IvshmemServer *server = core->server;

    core->region = (Region){
        .kind = (RegionKind)server->config_.memory,
        .size = server->shm_size,
        .fd = core->state.header->memory_fd,
        .made = core->state.header->memory_made,
    };
    strcpy(core->region.name, server->shm_path);
}

/* Lets go of what others go on with. */
static void core_abandon(ServerCore *core)
{
    core->region.fd = -1;
    core->region.made = false;
    core_free(core);
}

/* Takes over what another process has left. */
static int resume(ServerCore *core, IvshmemServerMap *map, ErrorText *error)
{
    const IvshmemServer *server = core->server;
    int state_fd = server->config_.state_fd, r;

    if (map_take(map, state_fd, &core->state))
        r = 0;
    else if (state_fd < 0)
        r = error_set(error, -ENODATA, "there is none");
    else
        r = state_open(&core->state, state_fd, error);
    if (r < 0)
        return r;
    if (core->state.header->max_vectors != server->n_vectors)
        return error_set(error, -EBADMSG, "the state is of a region with %u vectors, not %u",
                         core->state.header->max_vectors, server->n_vectors);
    resume_memory(core);
    error->text[0] = 0;
    if ((r = open_loop(core)) == 0 && (r = new_tables(core)) == 0)
        r = recover(core, error);
    return r < 0 && !*error->text ? error_set(error, r, "%s", strerror(-r)) : r;
}

int ivshmem_server_resume_mapped(IvshmemServer *server, IvshmemServerMap *map)
{
    ServerCore *core = server->core_ ? NULL : core_new(server);
    ErrorText error;
    int r;

    if (!core) {
        ivshmem_server_unmap(map);
        return core_fail(server, server->core_ ? -EALREADY : -ENOMEM, "cannot go on: %s",
                         server->core_ ? "the server is started already" : "out of memory");
    }
    r = resume(core, map, &error);
    if (r < 0) {
        peers_init_list(&server->peer_list);
        core_abandon(core);
        return core_fail(server, r, "cannot go on from the state: %s", error.text);
    }
    show(server, core);
    server->core_ = core;
    dispatch_wake(core);
    return 0;
}

int ivshmem_server_resume(IvshmemServer *server)
{
    return ivshmem_server_resume_mapped(server, NULL);
}

void ivshmem_server_abandon(IvshmemServer *server)
{
    ServerCore *core = server->core_;

    if (!core)
        return;
    server->core_ = NULL;
    server->sock_fd = server->shm_fd = -1;
    peers_init_list(&server->peer_list);
    core_abandon(core);
}

void ivshmem_server_close(IvshmemServer *server)
{
    ServerCore *core = server->core_;
    uint32_t slot;

    if (!core)
        return;
    core_log(server, LOG_DEBUG, "close server");
    BITMAP_FOREACH(slot, core->state.connected, core->state.header->max_clients)
        client_close(core, slot, NULL);
    region_close(&core->region); /* while the paths are ours: see lock_first() */
    for (uint32_t i = 0; i < core->state.header->listener_limit; i++)
        if (listener_at(core, i))
            listener_remove(core, listener_at(core, i));
    server->core_ = NULL;
    server->sock_fd = server->shm_fd = -1;
    core_free(core);
}
