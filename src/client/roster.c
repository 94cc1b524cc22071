/* SPDX-License-Identifier: MIT */
/* The other peers, in a list in the order of arrival and in a table by ID, and everybody's vectors.
 */
#include "client/internal.h"
#include "util/cleanup.h"

#include <stdlib.h>

static void close_vectors(IvshmemClientPeer *peer)
{
    for (unsigned i = 0; i < peer->vectors_count; i++)
        fd_close(peer->vectors[i]);
    free(peer->vectors);
    peer->vectors = NULL;
    peer->vectors_count = 0;
}

IvshmemClientPeer *roster_add(IvshmemClient *client, uint32_t id)
{
    IvshmemClientPeerList *list = &client->peer_list;
    IvshmemClientPeer *peer = malloc(sizeof(*peer));

    if (!peer)
        return NULL;
    *peer = (IvshmemClientPeer){.id = id, .previous = list->last};
    *(list->last ? &list->last->next : &list->first) = peer;
    list->last = peer;
    list->count++;
    client->priv->by_id[id] = peer;
    return peer;
}

void roster_remove(IvshmemClient *client, IvshmemClientPeer *peer)
{
    IvshmemClientPeerList *list = &client->peer_list;

    *(peer->previous ? &peer->previous->next : &list->first) = peer->next;
    *(peer->next ? &peer->next->previous : &list->last) = peer->previous;
    list->count--;
    client->priv->by_id[peer->id] = NULL;
    close_vectors(peer);
    free(peer);
}

/* The array has room for the next power of two, so it is full whenever its count is one. */
int roster_add_vector(IvshmemClientPeer *peer, int fd)
{
    unsigned n = peer->vectors_count;

    if ((n & (n - 1)) == 0) {
        int *larger = realloc(peer->vectors, (n ? 2 * (size_t)n : 1) * sizeof(*larger));

        if (!larger)
            return -ENOMEM;
        peer->vectors = larger;
    }
    peer->vectors[n] = fd;
    peer->vectors_count = n + 1;
    return 0;
}

void roster_clear(IvshmemClient *client)
{
    while (client->peer_list.first)
        roster_remove(client, client->peer_list.first);
    close_vectors(&client->local);
    client->local.id = -1;
}

IvshmemClientPeer *ivshmem_client_search_peer(IvshmemClient *client, int64_t peer_id)
{
    if (!client->priv || peer_id < 0 || peer_id > WIRE_MAX_ID)
        return NULL;
    return client->priv->by_id[peer_id];
}
