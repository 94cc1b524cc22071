/* SPDX-License-Identifier: MIT */
/*
 * The event loop's side of a client: one epoll descriptor that has the server's socket, settle's
 * timer and our own vectors in it, and a dispatch that does a bounded amount of what is due. epoll
 * is level-triggered: what is left over is there next time.
 */
#include "client/internal.h"
#include "util/deadline.h"
#include "util/sys.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define EVENTS_MAX   64   /* of one dispatch */
#define MESSAGES_MAX 4096 /* of one dispatch: some milliseconds */

int ivshmem_client_get_fd(const IvshmemClient *client)
{
    return client->priv ? client->priv->epoll_fd : -ENOTCONN;
}

bool ivshmem_client_is_ready(const IvshmemClient *client)
{
    return client->priv && client->priv->ready;
}

/* Whether the timer has expired and nobody has set it anew since. */
static bool timer_expired(const IvshmemClient *client)
{
    uint64_t n;

    return read(client->priv->timer_fd, &n, sizeof(n)) == sizeof(n);
}

static int read_server(IvshmemClient *client)
{
    int n = incoming_receive(client, MESSAGES_MAX);

    if (n < 0 || n == MESSAGES_MAX)
        return n;
    if (n > 0)
        return settle_dry(client);
    return timer_expired(client) ? settle_timeout(client) : 0;
}

static void take_ring(IvshmemClient *client, unsigned vector)
{
    if (link_take_rings(client->local.vectors[vector]) <= 0)
        return;
    link_log(client, LOG_DEBUG, "received event on fd=%d vector=%u", client->local.vectors[vector],
             vector);
    client->notif_cb(client, &client->local, vector, client->notif_arg);
}

static int handle(IvshmemClient *client, const struct epoll_event *events, int n)
{
    bool server = false;
    int r = 0;

    for (int i = 0; i < n; i++)
        server |= events[i].data.u32 >= IVSHMEM_CLIENT_MAX_VECTORS;
    if (server)
        r = read_server(client);
    if (r < 0)
        incoming_drop(client);
    for (int i = 0; i < n; i++)
        if (events[i].data.u32 < IVSHMEM_CLIENT_MAX_VECTORS && !client->priv->close_wanted)
            take_ring(client, events[i].data.u32);
    return r < 0 ? r : 0;
}

int ivshmem_client_dispatch(IvshmemClient *client)
{
    struct epoll_event events[EVENTS_MAX];
    int n, r;

    if (!client->priv)
        return -ENOTCONN;
    if (client->priv->dispatching)
        return -EBUSY;
    link_clear_error(client);
    n = sys.epoll_wait(client->priv->epoll_fd, events, EVENTS_MAX, 0);
    if (n < 0)
        return errno == EINTR ? 0
                              : link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, -errno,
                                          "cannot wait for events: %s", strerror(errno));
    client->priv->dispatching = true;
    r = handle(client, events, n);
    client->priv->dispatching = false;
    if (!client->priv->close_wanted)
        return r;
    ivshmem_client_close(client);
    return -ECANCELED;
}

int ivshmem_client_wait_ready(IvshmemClient *client, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    struct pollfd poll_fd = {.fd = ivshmem_client_get_fd(client), .events = POLLIN};

    for (;;) {
        int r = ivshmem_client_dispatch(client);

        if (r < 0)
            return r;
        if (client->priv->ready)
            return 0;
        if (client->sock_fd < 0)
            return -ENOTCONN;
        r = poll(&poll_fd, 1, deadline_left(deadline));
        if (r < 0)
            return -errno;
        if (r == 0 || deadline_left(deadline) == 0)
            return link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, -ETIMEDOUT,
                             "the server did not complete the set-up in time");
    }
}

void ivshmem_client_get_fds(const IvshmemClient *client, fd_set *fds, int *maxfd)
{
    int fd = ivshmem_client_get_fd(client);

    if (fd < 0 || fd >= FD_SETSIZE)
        return;
    FD_SET(fd, fds);
    if (*maxfd <= fd)
        *maxfd = fd + 1;
}

int ivshmem_client_handle_fds(IvshmemClient *client, fd_set *fds, int maxfd)
{
    int fd = ivshmem_client_get_fd(client);

    if (fd < 0)
        return fd;
    if (fd >= FD_SETSIZE)
        return link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, -EMFILE,
                         "descriptor %d does not fit a set for select()", fd);
    return fd < maxfd && FD_ISSET(fd, fds) ? ivshmem_client_dispatch(client) : 0;
}
