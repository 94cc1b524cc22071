/* SPDX-License-Identifier: MIT */
/*
 * Be a peer of an ivshmem region wherever this program runs: on the host, through a server's
 * socket, or inside a virtual machine, through the PCI device. The same program does either, and a
 * text from its user says which.
 *
 *     IvshmemPort *port;
 *     int result = ivshmem_port_open(&port, "unix:/tmp/ivshmem_socket", NULL);
 *
 *     if (result < 0)
 *         return result;
 *     memcpy(ivshmem_port_memory(port), "hello", 6);
 *     result = ivshmem_port_ring(port, 1, 0);
 *     ...
 *     ivshmem_port_close(port);
 *
 * A doorbell is a hint, the memory is the truth: several can arrive as one, those rung before this
 * peer listened are lost in a virtual machine, and there the first wait on each vector returns at
 * once without one. So look at the memory, wait, and look again: ivshmem_port_wait_for() does.
 *
 * What differs between the two is what a virtual machine cannot know: who the other peers are, and
 * whether a doorbell reached anybody. Functions say so where it matters.
 *
 * Functions return 0 (or what they document) or a negative errno. Nothing here prints, exits or
 * aborts. A port belongs to one thread at a time.
 */
#ifndef IVSHMEM_PORT_H
#define IVSHMEM_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef IVSHMEM_API
#if defined(__GNUC__)
#define IVSHMEM_API __attribute__((visibility("default")))
#else
#define IVSHMEM_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define IVSHMEM_PORT_TIMEOUT_MS 10000 /* of an open, unless the options say something else */

/** A peer of which this process is the owner. */
typedef struct IvshmemPort IvshmemPort;

/** One of the other peers. */
typedef struct IvshmemPortPeer {
    unsigned id;        /**< 0 to 65535 */
    unsigned n_vectors; /**< that it can be rung on */
} IvshmemPortPeer;

/** How to open a port. All-zero is the default, and so is NULL in its place. */
typedef struct IvshmemPortOptions {
    /** unix: milliseconds until the set-up must be over; 0: IVSHMEM_PORT_TIMEOUT_MS; negative: no
     * limit. */
    int timeout_ms;
    /** unix: how many vectors the server gives each client, which ends the set-up at once when they
     * have come; 0: not known. */
    unsigned n_vectors;
    /** unix: map the memory to be read only, which is all that some servers grant. */
    bool read_only;
    /** unix: map no memory at all; ivshmem_port_memory() is NULL. */
    bool no_memory;
    /** unix: let no peer make a ring wait. One that means harm can: O_NONBLOCK of its eventfds is
     * shared by all who hold them, and so is their counter. To look at the flag before each ring
     * costs more than half as much again as the ring. */
    bool wary;
    /** pci: the folder that holds sys/ and dev/; NULL: / */
    const char *root;
    /** unix: whom to tell of each peer that is there or connects, and of each of those that leaves:
     * inside ivshmem_port_open() and ivshmem_port_dispatch(), and whatever dispatches. They may not
     * use the port. In a virtual machine nobody knows, and they are never called. */
    void (*connected)(void *opaque, const IvshmemPortPeer *peer);
    void (*left)(void *opaque, const IvshmemPortPeer *peer);
    /** Takes each line of what happens, with a priority of syslog(3); no newline at its end. An
     * open that fails says why in one line of LOG_ERR, its last. */
    void (*log)(void *opaque, int priority, const char *line);
    void *opaque; /**< handed to the callbacks */
} IvshmemPortOptions;

/**
 * Opens a port and becomes a peer.
 *
 * @param out     gets the port, which is the caller's to close; untouched on failure
 * @param uri     "unix:PATH": the socket of an ivshmem server;
 *                "pci:ADDRESS" ("pci:0000:00:03.0" or "pci:00:03.0"): a device of this machine;
 *                "pci:INDEX" ("pci:0"): the same by its place among the ivshmem devices;
 *                "pci:auto": the first of them
 * @param options may be NULL; what `opaque` points to must live until the port is closed, the
 *                struct itself need not
 * @return 0; -EINVAL for a text that is none of these; otherwise what
 *         ivshmem_client_connect_timeout() or ivshmem_device_open() returns
 */
IVSHMEM_API int ivshmem_port_open(IvshmemPort **out, const char *uri,
                                  const IvshmemPortOptions *options);

/** Leaves, unmaps the memory and frees the port. NULL is fine. */
IVSHMEM_API void ivshmem_port_close(IvshmemPort *port);

/** This peer's ID, 0 to 65535, or -EOPNOTSUPP for an ivshmem-plain device, which has no peers. */
IVSHMEM_API int ivshmem_port_id(const IvshmemPort *port);

/**
 * The shared memory, for as long as the port is open. Readable and writable, unless `read_only` or
 * `no_memory` was asked for. Order what you share with atomics or barriers, as between threads.
 */
IVSHMEM_API void *ivshmem_port_memory(const IvshmemPort *port);

/** The shared memory's size in bytes. */
IVSHMEM_API size_t ivshmem_port_memory_size(const IvshmemPort *port);

/** How many vectors this peer has. */
IVSHMEM_API unsigned ivshmem_port_n_vectors(const IvshmemPort *port);

/**
 * Whether doorbells can wake this peer: always on the host; in a virtual machine if the device is
 * bound to vfio-pci, which needs an IOMMU.
 */
IVSHMEM_API bool ivshmem_port_has_interrupts(const IvshmemPort *port);

/**
 * Rings a peer's doorbell. A vector that is rung more often than its owner looks counts as rung.
 * On x86, and with release stores everywhere, the peer then sees what was written before.
 *
 * In a virtual machine, to ring a peer that is not there or a vector that it lacks does nothing
 * and is no error: the device does not tell.
 *
 * @param peer   its ID, 0 to 65535; one's own will do
 * @param vector 0 to 65535
 * @return 0, -EINVAL if a number is out of range, -EOPNOTSUPP for an ivshmem-plain device; on the
 *         host also -ENOENT if there is no such peer, -ERANGE if it has no such vector, or an errno
 *         of write(2)
 */
IVSHMEM_API int ivshmem_port_ring(IvshmemPort *port, unsigned peer, unsigned vector);

/**
 * Waits for a doorbell on one of this peer's vectors, and takes it. On the host it dispatches too.
 *
 * @param timeout_ms milliseconds; 0 does not wait, negative waits for ever
 * @return 1 if it was rung (once or more), 0 if the time is up, -EINVAL if there is no such
 *         vector, -EOPNOTSUPP without interrupts, -EINTR if a signal came; on the host also -EIO or
 *         an errno of read(2) if the server gave us something else than an eventfd
 */
IVSHMEM_API int ivshmem_port_wait(IvshmemPort *port, unsigned vector, int timeout_ms);

/**
 * Waits until the memory holds what the caller is looking for: looks, and looks again after each
 * doorbell on the vector. Without interrupts it looks again after a pause of at most 1 millisecond,
 * and any vector will do.
 *
 * @param look       says whether it is there; called in this thread, at least once
 * @param opaque     handed to look
 * @param timeout_ms milliseconds; 0 looks once, negative waits for ever
 * @return 1 if look said so, 0 if the time is up, -EINVAL if there is no such vector, -EINTR if a
 *         signal came
 */
IVSHMEM_API int ivshmem_port_wait_for(IvshmemPort *port, unsigned vector,
                                      bool (*look)(void *opaque), void *opaque, int timeout_ms);

/**
 * The eventfd of a vector, for the caller's own event loop: readable when the vector has been
 * rung, and in a virtual machine once before that. Non-blocking; it belongs to the port. Read its
 * eight bytes, or call ivshmem_port_wait() with a timeout of 0, to take the doorbell.
 *
 * @return the fd, -EINVAL if there is no such vector, -EOPNOTSUPP without interrupts
 */
IVSHMEM_API int ivshmem_port_vector_fd(const IvshmemPort *port, unsigned vector);

/**
 * The descriptor that is readable when there is news of peers, to be taken by
 * ivshmem_port_dispatch(). It belongs to the port.
 *
 * @return the fd, or -EOPNOTSUPP in a virtual machine, where there is none
 */
IVSHMEM_API int ivshmem_port_news_fd(const IvshmemPort *port);

/**
 * Takes the news of peers that there is, without waiting.
 *
 * @return 0, also where there never is any; once, -ECONNRESET or another error of
 *         ivshmem_client_dispatch() when the server has gone. Memory, peers and doorbells go on
 *         working then, but nobody new is heard of.
 */
IVSHMEM_API int ivshmem_port_dispatch(IvshmemPort *port);

/**
 * Lists the other peers, in the order of their arrival.
 *
 * @param peers filled with the first n_max of them; may be NULL if n_max is 0
 * @return how many there are, which can be more than n_max, or -EOPNOTSUPP in a virtual machine,
 *         where nobody tells
 */
IVSHMEM_API int ivshmem_port_peers(const IvshmemPort *port, IvshmemPortPeer *peers, size_t n_max);

/**
 * What it is beyond that, in words for people: "unix:/tmp/ivshmem_socket" or "pci:0000:00:03.0".
 * Lives as long as the port.
 */
IVSHMEM_API const char *ivshmem_port_name(const IvshmemPort *port);

#ifdef __cplusplus
}
#endif

#endif
