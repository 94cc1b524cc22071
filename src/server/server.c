/* SPDX-License-Identifier: MIT */
/* The public functions: configuration, events and their errors. */
#include "ivshmem-server.h"

#include "server/core.h"
#include "server/dispatch.h"
#include "util/address.h"

#include <inttypes.h>
#include <string.h>

/* What comes within one turn of the loop, which empties it. A newcomer waits for all who are before
 * it, some 8 µs each, whoever they are; beyond it connect(2) waits, or gives EAGAIN if it may not.
 */
#define DEFAULT_BACKLOG 256

_Static_assert(IVSHMEM_SERVER_MAX_VECTORS == WIRE_MAX_VECTORS, "the header's number is the wire's");
_Static_assert((int)IVSHMEM_SERVER_MEMORY_POSIX == REGION_POSIX &&
                   (int)IVSHMEM_SERVER_MEMORY_DIRECTORY == REGION_DIRECTORY &&
                   (int)IVSHMEM_SERVER_MEMORY_MEMFD == REGION_MEMFD,
               "the header's kinds of memory are the region's");

void ivshmem_server_config_init(IvshmemServerConfig *config)
{
    *config = (IvshmemServerConfig){
        .unix_sock_path = "/tmp/ivshmem_socket",
        .memory = IVSHMEM_SERVER_MEMORY_POSIX,
        .shm_path = "ivshmem",
        .shm_size = 4 << 20,
        .n_vectors = 1,
        .memory_uid = (uid_t)-1,
        .memory_gid = (gid_t)-1,
        .socket_mode = -1,
        .socket_uid = (uid_t)-1,
        .socket_gid = (gid_t)-1,
        .socket_fd = -1,
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

static int check_path(IvshmemServer *server, const char *path)
{
    struct sockaddr_un address;
    int r = path ? address_of_path(path, &address) : 0;

    return r < 0 ? core_fail(server, r,
                             "the socket path '%.64s%s' has %zu bytes; 1 to %zu are possible", path,
                             strlen(path) > 64 ? "..." : "", strlen(path),
                             sizeof(address.sun_path) - 1)
                 : 0;
}

static int check_memory(IvshmemServer *server, const IvshmemServerConfig *config)
{
    if ((unsigned)config->memory > IVSHMEM_SERVER_MEMORY_MEMFD)
        return core_fail(server, -EINVAL, "there is no memory of kind %d", (int)config->memory);
    if (!config->shm_path)
        return core_fail(server, -EINVAL, "the shared memory has no name");
    if (!*config->shm_path || strlen(config->shm_path) >= sizeof(server->shm_path))
        return core_fail(server, *config->shm_path ? -ENAMETOOLONG : -EINVAL,
                         "the name of the shared memory has %zu bytes; 1 to %zu are possible",
                         strlen(config->shm_path), sizeof(server->shm_path) - 1);
    if (!config->huge_page_size)
        return 0;
    if (config->memory != IVSHMEM_SERVER_MEMORY_MEMFD)
        return core_fail(server, -EINVAL,
                         "only a memfd can be asked for huge pages; use a "
                         "hugetlbfs mount as the directory instead");
    if (config->huge_page_size == 1 || config->huge_page_size & (config->huge_page_size - 1))
        return core_fail(server, -EINVAL, "there are no huge pages of %" PRIu64 " bytes",
                         config->huge_page_size);
    return 0;
}

static int check_numbers(IvshmemServer *server, const IvshmemServerConfig *config)
{
    if (config->n_vectors < 1 || config->n_vectors > IVSHMEM_SERVER_MAX_VECTORS)
        return core_fail(server, config->n_vectors < 1 ? -EINVAL : -ERANGE,
                         "%u vectors are not possible; 1 to %d are", config->n_vectors,
                         IVSHMEM_SERVER_MAX_VECTORS);
    if (config->n_ids < 1 || config->n_ids > WIRE_N_IDS)
        return core_fail(server, -ERANGE, "%u IDs are not possible; 1 to %d are", config->n_ids,
                         WIRE_N_IDS);
    return 0;
}

/* The size that the memory gets. */
static int round_size(IvshmemServer *server, const IvshmemServerConfig *config)
{
    uint64_t rounded;
    int r = region_size(config->shm_size, &rounded);

    if (r == 0 && rounded < config->huge_page_size)
        rounded = config->huge_page_size;
    if (r < 0 || rounded > SIZE_MAX)
        return core_fail(server, r < 0 ? r : -ERANGE,
                         "a shared memory of %" PRIu64 " bytes is not possible", config->shm_size);
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
    if ((r = check_path(server, config->unix_sock_path)) < 0 ||
        (r = check_memory(server, config)) < 0 || (r = check_numbers(server, config)) < 0 ||
        (r = round_size(server, config)) < 0)
        return r;
    if (config->unix_sock_path)
        strcpy(server->unix_sock_path, config->unix_sock_path);
    strcpy(server->shm_path, config->shm_path);
    server->config_.unix_sock_path = server->config_.shm_path = NULL; /* the caller's */
    server->use_shm_open = config->memory == IVSHMEM_SERVER_MEMORY_POSIX;
    server->n_vectors = config->n_vectors;
    return 0;
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
