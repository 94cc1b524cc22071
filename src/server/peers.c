/* SPDX-License-Identifier: MIT */
#include "server/peers.h"

#include "util/sys.h"

#include <errno.h>

int peers_new(Peers *peers, uint32_t max_clients)
{
    size_t size = max_clients * sizeof(IvshmemServerPeer);
    void *map = sys.mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED)
        return -ENOMEM;
    *peers = (Peers){map, size};
    return 0;
}

void peers_free(Peers *peers)
{
    if (peers->of_slot)
        (void)munmap(peers->of_slot, peers->size);
    *peers = (Peers){0};
}

void peers_init_list(IvshmemServerPeerList *list)
{
    list->first = NULL;
    list->last_next = &list->first;
}

IvshmemServerPeer *peers_append(Peers *peers, IvshmemServerPeerList *list, const State *state,
                                uint32_t slot, const char *name)
{
    const Client *client = &state->clients[slot];
    IvshmemServerPeer *peer = &peers->of_slot[slot];

    *peer = (IvshmemServerPeer){
        .next = {NULL, list->last_next},
        .sock_fd = client->sock_fd,
        .id = client->id,
        .vectors = state_eventfds(state, slot),
        .vectors_count = client->n_vectors,
        .pid = client->pid,
        .uid = client->uid,
        .gid = client->gid,
        .connected_at = client->connected_at,
        .listener = (int)client->listener,
        .name = name,
    };
    *list->last_next = peer;
    list->last_next = &peer->next.next;
    return peer;
}

IvshmemServerPeer *peers_remove(Peers *peers, IvshmemServerPeerList *list, uint32_t slot)
{
    IvshmemServerPeer *peer = &peers->of_slot[slot];

    *peer->next.previous_next = peer->next.next;
    if (peer->next.next)
        peer->next.next->next.previous_next = peer->next.previous_next;
    else
        list->last_next = peer->next.previous_next;
    peer->next.next = NULL;
    peer->sock_fd = -1;
    return peer;
}
