/* SPDX-License-Identifier: MIT */
/* The public functions: configuration, start, end, and what a caller can ask. */
#include "ivshmem-server.h"

#include "server/client.h"
#include "server/core.h"
#include "server/dispatch.h"
#include "util/address.h"
#include "util/cleanup.h"
#include "util/size.h"
#include "util/sys.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#define DEFAULT_BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

_Static_assert(IVSHMEM_SERVER_MAX_VECTORS == WIRE_MAX_VECTORS, "the header's number is the wire's");
_Static_assert((int)IVSHMEM_SERVER_MEMORY_POSIX == REGION_POSIX &&
                   (int)IVSHMEM_SERVER_MEMORY_DIRECTORY == REGION_DIRECTORY &&
                   (int)IVSHMEM_SERVER_MEMORY_MEMFD == REGION_MEMFD,
               "the header's kinds of memory are the region's");

void core_log(const IvshmemServer *server, int priority, const char *format, ...)
{
    const IvshmemServerConfig *config = &server->config_;
    char line[LOG_LINE_SIZE];
    va_list arguments;

    if (!config->log && !server->verbose)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (config->log)
        config->log(config->opaque, priority, line);
    else
        (void)puts(line);
}

int core_fail(IvshmemServer *server, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(server->error_, sizeof(server->error_), format, arguments);
    va_end(arguments);
    core_log(server, LOG_ERR, "%s", server->error_);
    return error;
}

void ivshmem_server_config_init(IvshmemServerConfig *config)
{
    *config = (IvshmemServerConfig){
        .unix_sock_path = "/tmp/ivshmem_socket",
        .memory = IVSHMEM_SERVER_MEMORY_POSIX,
        .shm_path = "ivshmem",
        .shm_size = 4 << 20,
        .n_vectors = 1,
        .memory_uid = (uid_t)-1,
        .socket_mode = -1,
        .socket_uid = (uid_t)-1,
        .socket_gid = (gid_t)-1,
        .state_fd = -1,
        .n_ids = WIRE_N_IDS,
        .backlog = DEFAULT_BACKLOG,
    };
}

int ivshmem_server_init(IvshmemServer *server, const char *unix_sock_path, const char *shm_path,
                        bool use_shm_open, size_t shm_size, unsigned n_vectors, bool verbose)
{
    IvshmemServerConfig config;

    ivshmem_server_config_init(&config);
    config.unix_sock_path = unix_sock_path;
    config.shm_path = shm_path;
    config.memory = use_shm_open ? IVSHMEM_SERVER_MEMORY_POSIX : IVSHMEM_SERVER_MEMORY_DIRECTORY;
    config.shm_size = shm_size;
    config.n_vectors = n_vectors;
    config.verbose = verbose;
    return ivshmem_server_init_config(server, &config);
}

static int check_config(IvshmemServer *server, const IvshmemServerConfig *config)
{
    struct sockaddr_un address;
    uint64_t rounded;
    const char *path = config->unix_sock_path;
    int r = path ? address_of_path(path, &address) : 0;

    if (r < 0)
        return core_fail(server, r,
                         "the socket path '%.64s%s' has %zu bytes; 1 to %zu are possible",
                         config->unix_sock_path, strlen(path) > 64 ? "..." : "", strlen(path),
                         sizeof(address.sun_path) - 1);
    if (!*config->shm_path || strlen(config->shm_path) >= sizeof(server->shm_path))
        return core_fail(server, *config->shm_path ? -ENAMETOOLONG : -EINVAL,
                         "the name of the shared memory has %zu bytes; 1 to %zu are possible",
                         strlen(config->shm_path), sizeof(server->shm_path) - 1);
    if (config->n_vectors < 1 || config->n_vectors > IVSHMEM_SERVER_MAX_VECTORS)
        return core_fail(server, config->n_vectors < 1 ? -EINVAL : -ERANGE,
                         "%u vectors are not possible; 1 to %d are", config->n_vectors,
                         IVSHMEM_SERVER_MAX_VECTORS);
    if (config->n_ids < 1 || config->n_ids > WIRE_N_IDS)
        return core_fail(server, -ERANGE, "%u IDs are not possible; 1 to %d are", config->n_ids,
                         WIRE_N_IDS);
    r = region_size(config->shm_size, &rounded);
    if (r < 0 || rounded > SIZE_MAX)
        return core_fail(server, r < 0 ? r : -ERANGE,
                         "a shared memory of %" PRIu64 " bytes is not possible", config->shm_size);
    if (config->huge_page_size) {
        if (config->memory != IVSHMEM_SERVER_MEMORY_MEMFD)
            return core_fail(server, -EINVAL,
                             "only a memfd can be asked for huge pages; use a "
                             "hugetlbfs mount as the directory instead");
        if (rounded < config->huge_page_size)
            rounded = config->huge_page_size;
    }
    server->shm_size = (size_t)rounded;
    return 0;
}

int ivshmem_server_init_config(IvshmemServer *server, const IvshmemServerConfig *config)
{
    int r;

    memset(server, 0, sizeof(*server));
    server->config_ = *config;
    server->verbose = config->verbose;
    server->sock_fd = server->shm_fd = -1;
    peers_init_list(&server->peer_list);
    r = check_config(server, config);
    if (r < 0)
        return r;
    if (config->unix_sock_path)
        strcpy(server->unix_sock_path, config->unix_sock_path);
    strcpy(server->shm_path, config->shm_path);
    server->config_.unix_sock_path = server->config_.shm_path = NULL; /* the caller's */
    server->use_shm_open = config->memory == IVSHMEM_SERVER_MEMORY_POSIX;
    server->n_vectors = config->n_vectors;
    return 0;
}

static void core_free(ServerCore *core)
{
    if (!core)
        return;
    listen_socket_close(&core->first);
    region_close(&core->region);
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

static int watch(ServerCore *core, int fd, EventKind kind)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = EVENT(kind, 0)};

    return sys.epoll_ctl(core->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* What needs neither the memory nor the socket. seccomp-change: epoll_create1 eventfd2 */
static int core_prepare(ServerCore *core)
{
    const IvshmemServer *server = core->server;
    unsigned most, wanted = server->config_.max_clients;
    int r;

    core->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    core->wake_fd = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    core->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (core->epoll_fd < 0 || core->wake_fd < 0 || core->reserve_fd < 0)
        return -errno;
    if ((r = timers_new(&core->timers)) < 0 || (r = flight_init(&core->flight)) < 0)
        return r;
    most = accept_most_clients(server->n_vectors);
    if (most == 0)
        return -EMFILE;
    if (wanted && wanted < most)
        most = wanted;
    if ((r = state_new(&core->state, server->config_.state_fd, most, server->n_vectors)) < 0 ||
        (r = ids_new(&core->ids, server->config_.n_ids)) < 0 ||
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
    };
    int r = region_open(&core->region, &spec, &error);

    if (r < 0)
        return core_fail(server, r, "%s", error.text);
    core_log(server, LOG_DEBUG, "Using %s: %s",
             kind == REGION_POSIX       ? "POSIX shared memory"
             : kind == REGION_DIRECTORY ? "file-backed shared memory"
                                        : "sealed memfd",
             server->shm_path);
    return 0;
}

/* The first listener's path is locked before the memory is touched. Two servers that start at once
 * would both take the memory otherwise, and the one that made it would remove it when it finds that
 * the other has the path. */
static int lock_first(ServerCore *core)
{
    IvshmemServer *server = core->server;
    const ListenSpec spec = {.path = server->unix_sock_path, .uid = server->config_.socket_uid};
    ErrorText error;
    int r = listen_socket_lock(&core->first, &spec, &error);

    return r < 0 ? core_fail(server, r, "%s", error.text) : 0;
}

static int open_first(ServerCore *core)
{
    IvshmemServer *server = core->server;
    IvshmemServerListenerConfig config;
    ListenSocket locked = core->first;

    ivshmem_server_listener_config_init(&config);
    config.unix_sock_path = server->unix_sock_path;
    config.socket_mode = server->config_.socket_mode;
    config.socket_uid = server->config_.socket_uid;
    config.socket_gid = server->config_.socket_gid;
    config.backlog = server->config_.backlog;
    config.max_accepts_per_s = server->config_.max_accepts_per_s;
    core->first = LISTEN_SOCKET_NONE;
    return listener_add(core, &config, &locked);
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

int ivshmem_server_start(IvshmemServer *server)
{
    _cleanup_(core_freep) ServerCore *core = NULL;
    int r;

    if (server->core_)
        return core_fail(server, -EALREADY, "the server at %s is started already",
                         server->unix_sock_path);
    core = calloc(1, sizeof(*core));
    if (!core)
        return core_fail(server, -ENOMEM, "out of memory");
    core->server = server;
    core->epoll_fd = core->wake_fd = core->reserve_fd = core->timers.fd = -1;
    core->region.fd = -1;
    core->first = LISTEN_SOCKET_NONE;
    r = core_prepare(core);
    if (r < 0)
        return core_fail(server, r, "cannot set up a server: %s%s", strerror(-r),
                         r == -EMFILE ? " (see ulimit -n)" : "");
    r = open_all(core);
    if (r < 0)
        return r;
    if ((r = watch(core, core->timers.fd, EVENT_TIMER)) < 0 ||
        (r = watch(core, core->wake_fd, EVENT_WAKE)) < 0)
        return core_fail(server, r, "cannot poll: %s", strerror(-r));

    server->sock_fd = listener_at(core, 0) ? listener_at(core, 0)->socket.fd : -1;
    server->shm_fd = core->region.fd;
    server->cur_id = 0;
    server->core_ = ptr_steal(core);
    tell_rounding(server);
    return 0;
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
    for (uint32_t i = 0; i < core->state.header->listener_limit; i++)
        if (listener_at(core, i))
            listener_remove(core, listener_at(core, i));
    server->core_ = NULL;
    server->sock_fd = server->shm_fd = -1;
    core_free(core);
}

int ivshmem_server_get_fd(const IvshmemServer *server)
{
    return server->core_ ? server->core_->epoll_fd : -1;
}

int ivshmem_server_dispatch(IvshmemServer *server)
{
    int r;

    if (!server->core_)
        return core_fail(server, -ENOTCONN, "the server is not started");
    r = dispatch_turn(server->core_);
    return r < 0 ? core_fail(server, r, "cannot wait for events: %s", strerror(-r)) : 0;
}

void ivshmem_server_get_fds(const IvshmemServer *server, fd_set *fds, int *maxfd)
{
    int fd = ivshmem_server_get_fd(server);

    if (fd < 0 || fd >= FD_SETSIZE)
        return;
    FD_SET(fd, fds);
    if (*maxfd <= fd)
        *maxfd = fd + 1;
}

int ivshmem_server_handle_fds(IvshmemServer *server, fd_set *fds, int maxfd)
{
    int fd = ivshmem_server_get_fd(server);

    if (fd >= FD_SETSIZE)
        return core_fail(server, -EMFILE, "the server's fd %d does not fit an fd_set (%d)", fd,
                         FD_SETSIZE);
    if (fd < 0 || fd >= maxfd || !FD_ISSET(fd, fds))
        return 0;
    return ivshmem_server_dispatch(server);
}
