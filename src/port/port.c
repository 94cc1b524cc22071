/* SPDX-License-Identifier: MIT */
#include "port/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "device/doorbell.h"
#include "util/cleanup.h"

static const PortKind *const kinds[] = {&port_unix, &port_pci};

static void close_portp(IvshmemPort **port)
{
    ivshmem_port_close(*port);
}

int ivshmem_port_open(IvshmemPort **out, const char *uri, const IvshmemPortOptions *options)
{
    static const IvshmemPortOptions defaults;
    _cleanup_(close_portp) IvshmemPort *port = calloc(1, sizeof(*port));
    int result = -EINVAL;

    if (!port)
        return -ENOMEM;
    options = options ? options : &defaults;
    port->options = *options;
    port->log = (LogSink){.line = options->log, .opaque = options->opaque};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t length = strlen(kinds[i]->scheme);

        if (strncmp(uri, kinds[i]->scheme, length) != 0)
            continue;
        port->kind = kinds[i];
        result = port->kind->open(port, uri + length, options);
        port->options.root = NULL;
        if (result == 0)
            *out = ptr_steal(port);
        return result;
    }
    log_line(&port->log, LOG_ERR,
             "'%s' is no port: it is unix:PATH, pci:ADDRESS, pci:INDEX or pci:auto", uri);
    return result;
}

void ivshmem_port_close(IvshmemPort *port)
{
    if (!port)
        return;
    if (port->kind)
        port->kind->close(port);
    free(port->name);
    free(port);
}

int ivshmem_port_id(const IvshmemPort *port)
{
    return port->id;
}

void *ivshmem_port_memory(const IvshmemPort *port)
{
    return port->memory;
}

size_t ivshmem_port_memory_size(const IvshmemPort *port)
{
    return port->memory_size;
}

unsigned ivshmem_port_n_vectors(const IvshmemPort *port)
{
    return port->kind->n_vectors(port);
}

bool ivshmem_port_has_interrupts(const IvshmemPort *port)
{
    return port->interrupts;
}

int ivshmem_port_ring(IvshmemPort *port, unsigned peer, unsigned vector)
{
    if ((peer | vector) < port->n_stored) {
        doorbell_store(port->doorbell, peer, vector);
        return 0;
    }
    /* Not through the table: an indirect call is what the processor guesses worst after a system
     * call, and this function is measured against one. */
    if (port->device)
        return ivshmem_device_ring(port->device, peer, vector);
    return port_ring_unix(port, peer, vector);
}

int ivshmem_port_wait(IvshmemPort *port, unsigned vector, int timeout_ms)
{
    return port->kind->wait(port, vector, timeout_ms);
}

int ivshmem_port_wait_for(IvshmemPort *port, unsigned vector, bool (*look)(void *opaque),
                          void *opaque, int timeout_ms)
{
    return port->kind->wait_for(port, vector, look, opaque, timeout_ms);
}

int ivshmem_port_vector_fd(const IvshmemPort *port, unsigned vector)
{
    return port->kind->vector_fd(port, vector);
}

int ivshmem_port_news_fd(const IvshmemPort *port)
{
    return port->kind->news_fd(port);
}

int ivshmem_port_dispatch(IvshmemPort *port)
{
    return port->kind->dispatch(port);
}

int ivshmem_port_peers(const IvshmemPort *port, IvshmemPortPeer *peers, size_t n_max)
{
    return port->kind->peers(port, peers, n_max);
}

const char *ivshmem_port_name(const IvshmemPort *port)
{
    return port->name;
}
