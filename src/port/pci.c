/* SPDX-License-Identifier: MIT */
/* A port in a virtual machine: its ivshmem device. There is never any news of peers. */
#include "port/port.h"

#include "device/doorbell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "pci:"

static int open_pci(IvshmemPort *port, const char *where, const IvshmemPortOptions *options)
{
    const IvshmemDeviceOptions device = {
        .root = options->root,
        .log = options->log,
        .opaque = options->opaque,
    };
    const char *address;
    int result =
        ivshmem_device_open(&port->device, strcmp(where, "auto") == 0 ? NULL : where, &device);

    if (result < 0)
        return result;
    address = ivshmem_device_address(port->device);
    port->name = malloc(sizeof(SCHEME) + strlen(address));
    if (!port->name)
        return -ENOMEM;
    memcpy(port->name, SCHEME, sizeof(SCHEME));
    memcpy(port->name + sizeof(SCHEME) - 1, address, strlen(address) + 1);
    port->id = ivshmem_device_id(port->device);
    port->doorbell = device_doorbell(port->device);
    port->n_stored = port->doorbell ? DOORBELL_MAX + 1 : 0;
    port->memory = ivshmem_device_memory(port->device);
    port->memory_size = ivshmem_device_memory_size(port->device);
    port->interrupts = ivshmem_device_has_interrupts(port->device);
    return 0;
}

static void close_pci(IvshmemPort *port)
{
    ivshmem_device_close(port->device);
}

static unsigned n_vectors(const IvshmemPort *port)
{
    return ivshmem_device_n_vectors(port->device);
}

static int wait_pci(IvshmemPort *port, unsigned vector, int timeout_ms)
{
    return ivshmem_device_wait(port->device, vector, timeout_ms);
}

static int wait_for(IvshmemPort *port, unsigned vector, bool (*look)(void *opaque), void *opaque,
                    int timeout_ms)
{
    return ivshmem_device_wait_for(port->device, vector, look, opaque, timeout_ms);
}

static int vector_fd(const IvshmemPort *port, unsigned vector)
{
    return ivshmem_device_vector_fd(port->device, vector);
}

static int news_fd(const IvshmemPort *port)
{
    (void)port;
    return -EOPNOTSUPP;
}

static int dispatch(IvshmemPort *port)
{
    (void)port;
    return 0;
}

static int peers(const IvshmemPort *port, IvshmemPortPeer *out, size_t n_max)
{
    (void)port, (void)out, (void)n_max;
    return -EOPNOTSUPP;
}

const PortKind port_pci = {
    .scheme = SCHEME,
    .open = open_pci,
    .close = close_pci,
    .n_vectors = n_vectors,
    .wait = wait_pci,
    .wait_for = wait_for,
    .vector_fd = vector_fd,
    .news_fd = news_fd,
    .dispatch = dispatch,
    .peers = peers,
};
