/* SPDX-License-Identifier: MIT */
/* The public list of peers: a view of the state's clients, for callers to read. */
#pragma once

#include "ivshmem-server.h"
#include "server/state.h"

typedef struct Peers {
    IvshmemServerPeer *of_slot; /* [max_clients] */
    size_t size;                /* bytes mapped */
} Peers;

/** @return 0 or -ENOMEM */
int peers_new(Peers *peers, uint32_t max_clients);
void peers_free(Peers *peers);

/** The slot of an entry. */
static inline uint32_t peers_slot(const Peers *peers, const IvshmemServerPeer *peer)
{
    return (uint32_t)(peer - peers->of_slot);
}

/** Fills in the entry of the client in the slot and appends it to the list. */
IvshmemServerPeer *peers_append(Peers *peers, IvshmemServerPeerList *list, const State *state,
                                uint32_t slot, const char *name);

/** Takes the entry out of the list; what it says stays until the slot is used again. */
IvshmemServerPeer *peers_remove(Peers *peers, IvshmemServerPeerList *list, uint32_t slot);

void peers_init_list(IvshmemServerPeerList *list);
