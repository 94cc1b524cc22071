/* SPDX-License-Identifier: MIT */
/*
 * The inside of a port: what both kinds have, and what each does its own way. There are two kinds,
 * unix.c over the client library and pci.c over the device library.
 */
#pragma once

#include "ivshmem-client.h"
#include "ivshmem-device.h"
#include "ivshmem-port.h"
#include "util/log.h"

#define PORT_VECTOR_MAX 0xffff /* that a doorbell can name */

typedef struct PortKind PortKind;

struct IvshmemPort {
    const PortKind *kind;
    volatile uint32_t *doorbell; /* where a store rings; NULL if there is no such place */
    unsigned n_stored;           /* which peers and vectors it rings: those below, a power of two */
    IvshmemPortOptions options;  /* without what may be gone: root */
    LogSink log;
    char *name; /* owned */
    void *memory;
    size_t memory_size;
    int id;
    bool interrupts;

    IvshmemClient *client; /* unix; owned */
    unsigned n_waits;      /* unix */
    int lost;              /* unix: a negative errno that dispatch has to return; 0: none */
    IvshmemDevice *device; /* pci; owned */
};

/*
 * What a kind does. `open` fills the port in, and sets its name; when it fails it has logged why,
 * and `close` undoes what it has done. The rest is as in ivshmem-port.h.
 */
struct PortKind {
    const char *scheme; /* with its colon */
    int (*open)(IvshmemPort *port, const char *where, const IvshmemPortOptions *options);
    void (*close)(IvshmemPort *port);
    unsigned (*n_vectors)(const IvshmemPort *port);
    int (*wait)(IvshmemPort *port, unsigned vector, int timeout_ms);
    int (*wait_for)(IvshmemPort *port, unsigned vector, bool (*look)(void *opaque), void *opaque,
                    int timeout_ms);
    int (*vector_fd)(const IvshmemPort *port, unsigned vector);
    int (*news_fd)(const IvshmemPort *port);
    int (*dispatch)(IvshmemPort *port);
    int (*peers)(const IvshmemPort *port, IvshmemPortPeer *peers, size_t n_max);
};

extern const PortKind port_unix;
extern const PortKind port_pci;

int port_ring_unix(IvshmemPort *port, unsigned peer, unsigned vector);
