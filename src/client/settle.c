/* SPDX-License-Identifier: MIT */
/*
 * When are a peer's vectors all there? The protocol marks no end, so this is a matter of rules,
 * which ivshmem_client_wait_ready() in the public header states. A server sends the vectors of one
 * peer after the other and our own last; so at most one peer is unsettled at a time, and when it is
 * ourselves that settle, the set-up is over.
 *
 * The rules that need time use a timer in the client's epoll set, armed when the socket has run
 * dry with something unsettled. A message that comes after it has expired but before it is looked
 * at arms it anew: messages are always read first.
 */
#include "client/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <syslog.h>

static void become_ready(IvshmemClient *client)
{
    if (client->priv->ready)
        return;
    client->priv->ready = true;
    link_log(client, LOG_DEBUG, "set-up complete: %u peers, %u vectors of our own",
             client->peer_list.count, client->local.vectors_count);
}

static void settle(IvshmemClient *client)
{
    const IvshmemClientPeer *peer = client->priv->settling;

    client->priv->settling = NULL;
    if (peer == &client->local)
        become_ready(client);
    else if (peer)
        link_tell(client, client->connected_cb, peer);
}

/* How many vectors the peer should get, or 0 if nothing tells. */
static unsigned wanted(const IvshmemClient *client, const IvshmemClientPeer *peer)
{
    if (client->vectors_expected > 0)
        return client->vectors_expected;
    return peer != &client->local && client->priv->ready ? client->local.vectors_count : 0;
}

void settle_message(IvshmemClient *client, const IvshmemClientPeer *peer)
{
    if (client->priv->settling != peer)
        settle(client);
}

void settle_vector(IvshmemClient *client, IvshmemClientPeer *peer)
{
    struct IvshmemClientPrivate *priv = client->priv;
    unsigned n = wanted(client, peer);

    if (peer->vectors_count == 1)
        priv->settling = peer;
    if (peer != &client->local && peer->vectors_count > priv->most_vectors)
        priv->most_vectors = peer->vectors_count;
    if (priv->settling == peer &&
        ((n > 0 && peer->vectors_count >= n) || peer->vectors_count == IVSHMEM_CLIENT_MAX_VECTORS))
        settle(client);
}

bool settle_departure(IvshmemClient *client, const IvshmemClientPeer *peer)
{
    if (client->priv->settling != peer)
        return true;
    client->priv->settling = NULL;
    return false;
}

static int arm(IvshmemClient *client, int timeout_ms)
{
    const struct itimerspec when = {
        .it_value = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000},
    };

    client->priv->timer_armed = timeout_ms > 0;
    if (timerfd_settime(client->priv->timer_fd, 0, &when, NULL) < 0)
        return link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, -errno, "cannot set a timer: %s",
                         strerror(errno));
    return 0;
}

/* How long it must be quiet until what is unsettled counts as settled; 0 if nothing is. */
static int patience(const IvshmemClient *client)
{
    const struct IvshmemClientPrivate *priv = client->priv;

    if (priv->settling == &client->local && wanted(client, priv->settling) == 0 &&
        priv->most_vectors == 0)
        return IVSHMEM_CLIENT_QUIET_MS;
    return priv->settling || !priv->ready ? IVSHMEM_CLIENT_STALLED_MS : 0;
}

int settle_dry(IvshmemClient *client)
{
    struct IvshmemClientPrivate *priv = client->priv;
    int timeout_ms;

    if (priv->settling == &client->local && wanted(client, priv->settling) == 0 &&
        priv->most_vectors > 0 && client->local.vectors_count >= priv->most_vectors)
        settle(client);
    timeout_ms = patience(client);
    return timeout_ms > 0 || priv->timer_armed ? arm(client, timeout_ms) : 0;
}

int settle_timeout(IvshmemClient *client)
{
    settle(client);
    become_ready(client);
    return arm(client, patience(client));
}
