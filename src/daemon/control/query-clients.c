/* SPDX-License-Identifier: MIT */
/*
 * Who is connected. A region can have thousands of clients with many vectors, and the kernel is
 * asked for each vector's doorbells: so an answer has a page of them, and says where the next one
 * begins.
 */
#include "daemon/control/clients.h"

#include "daemon/control/command.h"
#include "daemon/control/find.h"
#include "daemon/control/json.h"
#include "server/credentials.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE_CLIENTS 64  /* in an answer */
#define PAGE_VECTORS 128 /* of which doorbells are asked; one client's at least */

/* What the eventfd has counted and nobody has read. seccomp: openat open read close */
static json_int_t count_doorbells(int fd)
{
    char path[64], text[512];
    _cleanup_close_ int info = -1;
    const char *found;
    uint64_t count = 0;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = open(path, O_RDONLY | O_CLOEXEC);
    n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
    if (n < 0)
        return -1;
    text[n] = '\0';
    found = strstr(text, "eventfd-count:");
    if (!found || sscanf(found, "eventfd-count: %" SCNx64, &count) != 1)
        return -1;
    return (json_int_t)count;
}

static json_t *doorbells(const IvshmemServerPeer *peer)
{
    json_t *counts = json_array();

    for (unsigned i = 0; i < peer->vectors_count; i++)
        (void)json_array_append_new(counts, json_integer(count_doorbells(peer->vectors[i])));
    return counts;
}

json_t *clients_describe(const DaemonRegion *region, const IvshmemServerPeer *peer)
{
    char command[COMMAND_SIZE];

    credentials_command(peer->pid, command);
    return json_pack("{s:s,s:o,s:s,s:i,s:I,s:I,s:s,s:b}", "region", region->settings.name, "id",
                     peer->id < 0 ? json_null() : json_integer(peer->id), "name", peer->name, "pid",
                     (int)peer->pid, "uid", (json_int_t)peer->uid, "gid", (json_int_t)peer->gid,
                     "command", command, "observer", peer->id < 0);
}

static json_t *describe(const DaemonRegion *region, const IvshmemServerPeer *peer)
{
    json_t *client = clients_describe(region, peer);

    (void)json_object_set_new(client, "since", json_time(peer->connected_at));
    (void)json_object_set_new(client, "vectors", json_integer(peer->vectors_count));
    (void)json_object_set_new(client, "pending",
                              json_integer(ivshmem_server_pending(&region->server, peer)));
    (void)json_object_set_new(client, "doorbells", doorbells(peer));
    return client;
}

int run_query_clients(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    json_int_t first = json_integer_value(json_object_get(arguments, "first")), n = 0;
    unsigned n_clients = 0, n_vectors = 0;
    json_t *clients;
    DaemonRegion *only, *region;
    int r = find_region(daemon, arguments, &only, error);

    if (r < 0)
        return r;
    clients = json_array();
    *result = json_pack("{s:o}", "clients", clients);
    FIND_FOREACH(region, daemon, only)
    {
        const IvshmemServerPeer *peer;

        IVSHMEM_SERVER_FOREACH_PEER(peer, &region->server) {
            if (n++ < first)
                continue;
            n_vectors += peer->vectors_count;
            if (n_clients == PAGE_CLIENTS || (n_clients && n_vectors > PAGE_VECTORS)) {
                (void)json_object_set_new(*result, "next", json_integer(n - 1));
                return 0;
            }
            (void)json_array_append_new(clients, describe(region, peer));
            n_clients++;
        }
    }
    return 0;
}
