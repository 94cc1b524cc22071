/* SPDX-License-Identifier: MIT */
/* list and ring: who is there, and their doorbells. A virtual machine does not know its peers. */
#include "tools/client/tool.h"

#include "util/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct Peers {
    IvshmemPortPeer *at; /* owned */
    int n;               /* negative: nobody knows */
} Peers;

static void free_peers(Peers *peers)
{
    free(peers->at);
}

static int get_peers(const IvshmemPort *port, Peers *peers)
{
    peers->n = ivshmem_port_peers(port, NULL, 0);
    if (peers->n <= 0)
        return STATUS_OK;
    peers->at = calloc((size_t)peers->n, sizeof(*peers->at));
    if (!peers->at)
        return tool_error("there is no memory for a list of %d peers", peers->n);
    (void)ivshmem_port_peers(port, peers->at, (size_t)peers->n);
    return STATUS_OK;
}

static void list_text(const IvshmemPort *port, const Peers *peers)
{
    if (ivshmem_port_id(port) >= 0)
        (void)printf("id %d\n", ivshmem_port_id(port));
    (void)printf("memory %zu\nvectors %u\n", ivshmem_port_memory_size(port),
                 ivshmem_port_n_vectors(port));
    if (peers->n < 0)
        (void)printf("device %s\ninterrupts %s\npeers unknown\n",
                     ivshmem_port_name(port) + strlen(PCI_SCHEME),
                     ivshmem_port_has_interrupts(port) ? "yes" : "no");
    for (int i = 0; i < peers->n; i++)
        (void)printf("peer %u vectors %u\n", peers->at[i].id, peers->at[i].n_vectors);
}

static void list_json(const IvshmemPort *port, const Peers *peers)
{
    char id[16] = "null";

    if (ivshmem_port_id(port) >= 0)
        (void)snprintf(id, sizeof(id), "%d", ivshmem_port_id(port));
    (void)printf("{\"id\": %s, \"memory\": %zu, \"vectors\": %u, ", id,
                 ivshmem_port_memory_size(port), ivshmem_port_n_vectors(port));
    if (peers->n < 0) {
        (void)printf("\"device\": \"%s\", \"interrupts\": %s, \"peers\": null}\n",
                     ivshmem_port_name(port) + strlen(PCI_SCHEME),
                     ivshmem_port_has_interrupts(port) ? "true" : "false");
        return;
    }
    (void)fputs("\"peers\": [", stdout);
    for (int i = 0; i < peers->n; i++)
        (void)printf("%s{\"id\": %u, \"vectors\": %u}", i > 0 ? ", " : "", peers->at[i].id,
                     peers->at[i].n_vectors);
    (void)puts("]}");
}

int run_list(const ToolOptions *options)
{
    const IvshmemPortOptions want = {.no_memory = true};
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    _cleanup_(free_peers) Peers peers = {0};

    if (tool_open(&port, options, &want) != STATUS_OK || get_peers(port, &peers) != STATUS_OK)
        return STATUS_ERROR;
    (options->json ? list_json : list_text)(port, &peers);
    return STATUS_OK;
}

static int ring_one(IvshmemPort *port, unsigned id, unsigned vector, unsigned n_vectors)
{
    int r = ivshmem_port_ring(port, id, vector);

    switch (r) {
    case 0:
        return STATUS_OK;
    case -ENOENT:
        return tool_error("there is no peer %u", id);
    case -ERANGE:
        return tool_error("peer %u has no vector %u: it has %u", id, vector, n_vectors);
    case -EOPNOTSUPP:
        return tool_error("%s is an ivshmem-plain device, which has no peers",
                          ivshmem_port_name(port));
    default:
        return tool_error("cannot ring peer %u: %s", id, strerror(-r));
    }
}

static int ring_all(IvshmemPort *port, unsigned id, unsigned n_vectors)
{
    int status = STATUS_OK;

    for (unsigned vector = 0; vector < n_vectors && status == STATUS_OK; vector++)
        status = ring_one(port, id, vector, n_vectors);
    return status;
}

static int ring_everybody(IvshmemPort *port, const Peers *peers)
{
    int status = STATUS_OK;

    if (peers->n < 0)
        return tool_error("a virtual machine does not know its peers: name one");
    for (int i = 0; i < peers->n; i++)
        if (ring_all(port, peers->at[i].id, peers->at[i].n_vectors) != STATUS_OK)
            status = STATUS_ERROR;
    return status;
}

/* How many vectors a peer has; in a virtual machine, as many as its own device, for all it knows.
 */
static unsigned vectors_of(const IvshmemPort *port, const Peers *peers, unsigned id)
{
    for (int i = 0; i < peers->n; i++)
        if (peers->at[i].id == id)
            return peers->at[i].n_vectors;
    if (peers->n < 0 || ivshmem_port_id(port) == (int)id)
        return ivshmem_port_n_vectors(port);
    return 1; /* ringing it will say that it is not there */
}

int run_ring(const ToolOptions *options)
{
    const IvshmemPortOptions want = {.no_memory = true, .wary = true};
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    _cleanup_(free_peers) Peers peers = {0};
    char **words = options->arguments;
    bool everybody = options->n_arguments == 1;
    bool all = !everybody && strcmp(words[1], "all") == 0;
    uint64_t id = 0, vector = 0;

    if (everybody && strcmp(words[0], "all") != 0)
        return tool_error("ring: which vector of peer '%s'? Give its number, or 'all'", words[0]);
    if ((!everybody && tool_number("peer", words[0], ID_MAX, &id) != STATUS_OK) ||
        (!everybody && !all && tool_number("vector", words[1], VECTOR_MAX, &vector) != STATUS_OK))
        return STATUS_ERROR;
    if (tool_open(&port, options, &want) != STATUS_OK || get_peers(port, &peers) != STATUS_OK)
        return STATUS_ERROR;
    if (everybody)
        return ring_everybody(port, &peers);
    if (all)
        return ring_all(port, (unsigned)id, vectors_of(port, &peers, (unsigned)id));
    return ring_one(port, (unsigned)id, (unsigned)vector, vectors_of(port, &peers, (unsigned)id));
}
