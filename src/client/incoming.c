/* SPDX-License-Identifier: MIT */
/* What the server's messages do to the client. */
#include "client/internal.h"
#include "util/cleanup.h"
#include "util/nowait.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>

static int out_of_memory(IvshmemClient *client)
{
    return link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, -ENOMEM, "no memory for another peer");
}

static void take_id(IvshmemClient *client, uint32_t id)
{
    client->local.id = id;
    client->priv->by_id[id] = &client->local;
    link_log(client, LOG_DEBUG, "our_id=%" PRIu32, id);
}

static IvshmemClientPeer *find_or_add(IvshmemClient *client, uint32_t id)
{
    IvshmemClientPeer *peer = client->priv->by_id[id];

    if (peer)
        return peer;
    peer = roster_add(client, id);
    if (peer)
        link_log(client, LOG_DEBUG, "new peer id = %" PRIu32, id);
    return peer;
}

static int take_vector(IvshmemClient *client, const DecoderEvent *event, int *fd)
{
    IvshmemClientPeer *peer;
    int r = 0;

    settle_message(client, client->priv->by_id[event->id]);
    peer = find_or_add(client, event->id);
    if (!peer)
        return out_of_memory(client);
    nowait_restore(*fd); /* as QEMU does */
    if (roster_add_vector(peer, *fd) < 0)
        return out_of_memory(client);
    link_log(client, LOG_DEBUG, "  new vector %" PRIu32 " (fd=%d) for peer id %" PRIu32,
             event->vector, *fd, event->id);
    if (peer == &client->local && client->notif_cb)
        r = link_watch(client, *fd, event->vector);
    fd_steal(fd);
    if (r == 0)
        settle_vector(client, peer);
    return r;
}

static void take_departure(IvshmemClient *client, uint32_t id)
{
    IvshmemClientPeer *peer = client->priv->by_id[id];

    settle_message(client, peer);
    link_log(client, LOG_DEBUG, "delete peer id = %" PRIu32, id);
    if (settle_departure(client, peer))
        link_tell(client, client->left_cb, peer);
    roster_remove(client, peer);
}

static int take_message(IvshmemClient *client, int64_t value, int received_fd)
{
    _cleanup_close_ int fd = received_fd;
    DecoderEvent event;
    IvshmemClientFault fault = decoder_feed(&client->priv->decoder, value, fd >= 0, &event);

    if (fault != IVSHMEM_CLIENT_FAULT_NONE)
        return link_fail(client, fault, -EPROTO, "%s (message %" PRId64 "%s)",
                         decoder_fault_text(fault), value, fd >= 0 ? " with a descriptor" : "");
    switch (event.kind) {
    case DECODER_EVENT_VERSION:
        break;
    case DECODER_EVENT_OWN_ID:
        take_id(client, event.id);
        break;
    case DECODER_EVENT_MEMORY:
        client->shm_fd = fd_steal(&fd);
        link_log(client, LOG_DEBUG, "shm_fd=%d", client->shm_fd);
        break;
    case DECODER_EVENT_VECTOR:
        return take_vector(client, &event, &fd);
    case DECODER_EVENT_LEFT:
        take_departure(client, event.id);
        break;
    }
    return 0;
}

int incoming_receive(IvshmemClient *client, unsigned max)
{
    unsigned n;

    for (n = 0; n < max && !client->priv->close_wanted; n++) {
        IvshmemClientFault fault;
        int64_t value;
        int fd;
        int r = channel_receive(&client->priv->channel, client->sock_fd, &value, &fd, &fault);

        if (r == 0)
            break;
        if (r < 0)
            return link_fail(client, fault, r, "%s%s%s", decoder_fault_text(fault),
                             r == -EPROTO || r == -ECONNRESET ? "" : ": ",
                             r == -EPROTO || r == -ECONNRESET ? "" : strerror(-r));
        r = take_message(client, value, fd);
        if (r < 0)
            return r;
    }
    return (int)n;
}

void incoming_drop(IvshmemClient *client)
{
    struct IvshmemClientPrivate *priv = client->priv;

    if (client->sock_fd < 0)
        return;
    /* The caller of ivshmem_client_connect_fd() may have kept a copy, which would keep it in. */
    (void)epoll_ctl(priv->epoll_fd, EPOLL_CTL_DEL, client->sock_fd, NULL);
    (void)epoll_ctl(priv->epoll_fd, EPOLL_CTL_DEL, priv->timer_fd, NULL);
    client->sock_fd = fd_close(client->sock_fd);
    channel_reset(&priv->channel);
}
