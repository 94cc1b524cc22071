/* SPDX-License-Identifier: MIT */
/* list and ring: who is there, and their doorbells. */
#include "tools/client/tool.h"

#include "wire/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t memory_size(const IvshmemClient *client)
{
    struct stat status;

    return fstat(client->shm_fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static void list_text(const IvshmemClient *client)
{
    const IvshmemClientPeer *peer;

    (void)printf("id %" PRId64 "\nmemory %" PRIu64 "\nvectors %u\n", client->local.id,
                 memory_size(client), client->local.vectors_count);
    IVSHMEM_CLIENT_FOREACH_PEER(peer, client)
        (void)printf("peer %" PRId64 " vectors %u\n", peer->id, peer->vectors_count);
}

static void list_json(const IvshmemClient *client)
{
    const IvshmemClientPeer *peer;

    (void)printf("{\"id\": %" PRId64 ", \"memory\": %" PRIu64 ", \"vectors\": %u, \"peers\": [",
                 client->local.id, memory_size(client), client->local.vectors_count);
    IVSHMEM_CLIENT_FOREACH_PEER(peer, client)
        (void)printf("%s{\"id\": %" PRId64 ", \"vectors\": %u}", peer->previous ? ", " : "",
                     peer->id, peer->vectors_count);
    (void)puts("]}");
}

int run_list(IvshmemClient *client, const ToolOptions *options)
{
    int status = tool_init(client, options, NULL, NULL);

    if (status == STATUS_OK)
        status = tool_connect(client, options, true);
    if (status != STATUS_OK)
        return status;
    (options->json ? list_json : list_text)(client);
    return STATUS_OK;
}

int tool_ring(IvshmemClient *client, const char *peer_text, const char *vector_text)
{
    uint64_t id, vector;
    const IvshmemClientPeer *peer;
    bool all = strcmp(vector_text, "all") == 0;
    int r;

    if (tool_number("peer", peer_text, WIRE_MAX_ID, &id) != STATUS_OK ||
        (!all && tool_number("vector", vector_text, WIRE_MAX_VECTORS - 1, &vector) != STATUS_OK))
        return STATUS_ERROR;
    peer = ivshmem_client_search_peer(client, (int64_t)id);
    if (!peer)
        return tool_error("there is no peer %" PRIu64, id);
    if (all)
        r = ivshmem_client_notify_all_vects(client, peer);
    else if (vector < peer->vectors_count)
        r = ivshmem_client_notify(client, peer, (unsigned)vector);
    else
        return tool_error("peer %" PRIu64 " has no vector %" PRIu64 ": it has %u", id, vector,
                          peer->vectors_count);
    return r < 0 ? tool_error("cannot ring peer %" PRIu64 ": %s", id, strerror(-r)) : STATUS_OK;
}

int tool_ring_all(IvshmemClient *client)
{
    int r = ivshmem_client_notify_broadcast(client);

    return r < 0 ? tool_error("cannot ring all peers: %s", strerror(-r)) : STATUS_OK;
}

int run_ring(IvshmemClient *client, const ToolOptions *options)
{
    char **words = options->arguments;
    bool everybody = options->n_arguments == 1;
    int status;

    if (everybody && strcmp(words[0], "all") != 0)
        return tool_error("ring: which vector of peer '%s'? Give its number, or 'all'", words[0]);
    status = tool_init(client, options, NULL, NULL);
    if (status == STATUS_OK)
        status = tool_connect(client, options, true);
    if (status != STATUS_OK)
        return status;
    return everybody ? tool_ring_all(client) : tool_ring(client, words[0], words[1]);
}
