/* SPDX-License-Identifier: MIT */
/*
 * A client's life: init, connect, close.
 *
 * connect(2) on a Unix socket whose backlog is full gives EAGAIN when it may not wait, and there is
 * nothing to poll for then. So it waits, and SO_SNDTIMEO, which the kernel honours there, is the
 * limit (net/unix/af_unix.c, unix_wait_for_peer).
 */
#include "client/internal.h"
#include "util/address.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/sys.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <syslog.h>

int ivshmem_client_init(IvshmemClient *client, const char *unix_sock_path,
                        IvshmemClientNotifCb notif_cb, void *notif_arg, bool verbose)
{
    struct sockaddr_un address;
    int r = address_of_path(unix_sock_path, &address);

    if (r < 0)
        return r;
    *client = (IvshmemClient){
        .sock_fd = -1,
        .shm_fd = -1,
        .local.id = -1,
        .notif_cb = notif_cb,
        .notif_arg = notif_arg,
        .verbose = verbose,
    };
    _Static_assert(sizeof(client->unix_sock_path) == sizeof(address.sun_path), "as the kernel's");
    memcpy(client->unix_sock_path, address.sun_path, sizeof(address.sun_path));
    return 0;
}

void ivshmem_client_set_wary(IvshmemClient *client, bool wary)
{
    client->wary = wary;
}

void ivshmem_client_set_vectors(IvshmemClient *client, unsigned vectors)
{
    client->vectors_expected =
        vectors < IVSHMEM_CLIENT_MAX_VECTORS ? vectors : IVSHMEM_CLIENT_MAX_VECTORS;
}

void ivshmem_client_set_peer_callbacks(IvshmemClient *client, IvshmemClientPeerCb connected,
                                       IvshmemClientPeerCb left, void *arg)
{
    client->connected_cb = connected;
    client->left_cb = left;
    client->peer_arg = arg;
}

void ivshmem_client_set_log(IvshmemClient *client, IvshmemClientLogCb log, void *arg)
{
    client->log_cb = log;
    client->log_arg = arg;
}

static int system_failure(IvshmemClient *client, int r, const char *what)
{
    return link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, r, "%s: %s", what, strerror(-r));
}

int link_watch(IvshmemClient *client, int fd, uint32_t about)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = about};

    if (sys.epoll_ctl(client->priv->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return system_failure(client, -errno, "cannot watch a descriptor");
    return 0;
}

/* Makes the private part and takes the socket, also when it fails. */
static int open_private(IvshmemClient *client, int sock_fd)
{
    struct IvshmemClientPrivate *priv = calloc(1, sizeof(*priv));
    int r;

    if (!priv) {
        fd_close(sock_fd);
        return system_failure(client, -ENOMEM, "cannot make a client");
    }
    client->priv = priv;
    client->sock_fd = sock_fd;
    priv->channel = CHANNEL_EMPTY;
    priv->timer_fd = -1;
    priv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (priv->epoll_fd >= 0)
        priv->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (priv->timer_fd < 0)
        return system_failure(client, -errno, "cannot make a client");
    r = link_watch(client, sock_fd, EVENT_SERVER);
    return r < 0 ? r : link_watch(client, priv->timer_fd, EVENT_TIMER);
}

static int timed_out(IvshmemClient *client)
{
    return link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, -ETIMEDOUT,
                     "the server did not complete the set-up in time");
}

/* Reads messages one by one up to the memory's, so that none of the peers' comes in here. */
static int receive_memory(IvshmemClient *client, int64_t deadline)
{
    struct pollfd poll_fd = {.fd = client->sock_fd, .events = POLLIN};

    while (client->shm_fd < 0) {
        int r = incoming_receive(client, 1);

        if (r < 0)
            return r;
        if (r > 0)
            continue;
        r = poll(&poll_fd, 1, deadline_left(deadline));
        if (r == 0)
            return timed_out(client);
        if (r < 0 && errno != EINTR)
            return system_failure(client, -errno, "cannot wait for the server");
    }
    return 0;
}

static int set_up(IvshmemClient *client, int sock_fd, int64_t deadline)
{
    int r = open_private(client, sock_fd);

    if (r == 0)
        r = receive_memory(client, deadline);
    if (r == 0)
        r = settle_dry(client);
    if (r < 0)
        ivshmem_client_close(client);
    return r;
}

static int limit_connect(int sock, int64_t deadline)
{
    int left = deadline_left(deadline);
    struct timeval limit = {left / 1000, (suseconds_t)(left % 1000) * 1000};

    if (left < 0)
        return 0;
    if (left == 0)
        limit.tv_usec = 1; /* 0 means without a limit */
    return setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ? -errno : 0;
}

/* Returns the connected socket. */
static int connect_path(IvshmemClient *client, int64_t deadline)
{
    _cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    int r = address_of_path(client->unix_sock_path, &address);

    if (sock < 0)
        r = -errno;
    while (r == 0) {
        r = limit_connect(sock, deadline);
        if (r == 0 && connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0)
            return fd_steal(&sock);
        if (r == 0 && errno != EINTR)
            r = errno == EAGAIN ? -ETIMEDOUT : -errno;
    }
    return link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, r, "cannot connect to %s: %s",
                     client->unix_sock_path, strerror(-r));
}

int ivshmem_client_connect_timeout(IvshmemClient *client, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    int sock;

    if (client->priv)
        return -EISCONN;
    link_clear_error(client);
    link_log(client, LOG_DEBUG, "connect to server %s", client->unix_sock_path);
    sock = connect_path(client, deadline);
    return sock < 0 ? sock : set_up(client, sock, deadline);
}

int ivshmem_client_connect_fd(IvshmemClient *client, int sock_fd, int timeout_ms)
{
    if (client->priv) {
        fd_close(sock_fd);
        return -EISCONN;
    }
    link_clear_error(client);
    return set_up(client, sock_fd, deadline_after(timeout_ms));
}

int ivshmem_client_connect(IvshmemClient *client)
{
    return ivshmem_client_connect_timeout(client, -1);
}

void ivshmem_client_close(IvshmemClient *client)
{
    struct IvshmemClientPrivate *priv = client->priv;

    if (!priv)
        return;
    if (priv->dispatching) {
        priv->close_wanted = true;
        return;
    }
    link_log(client, LOG_DEBUG, "close client");
    client->sock_fd = fd_close(client->sock_fd);
    client->shm_fd = fd_close(client->shm_fd);
    roster_clear(client);
    channel_reset(&priv->channel);
    fd_close(priv->timer_fd);
    fd_close(priv->epoll_fd);
    free(priv);
    client->priv = NULL;
}
