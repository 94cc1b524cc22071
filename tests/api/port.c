/* SPDX-License-Identifier: MIT */
/*
 * port URI PEER: the port and the device library, by what their headers say. PEER is the only other
 * peer, with as many vectors as ours. Prints one line each that is wrong.
 */
#include "check.h"
#include "ivshmem-device.h"
#include "ivshmem-port.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What there is to look for: it is there the second time. */
static bool look(void *opaque)
{
    return ++*(int *)opaque == 2;
}

static void check_refused(const IvshmemPortOptions *options)
{
    static const char *const none[] = {"", "unix", "tcp:/x", "pci:", "pci:x", "pci:00:00:00"};
    IvshmemPort *port = NULL;

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        check(none[i], ivshmem_port_open(&port, none[i], options), -EINVAL);
    check("nobody listens", ivshmem_port_open(&port, "unix:/nonexistent", options), -ENOENT);
    check("no such device", ivshmem_port_open(&port, "pci:ff:1f.7", options), -ENODEV);
    check("untouched", port == NULL, 1);
    check("each says why", n_lines >= 8, 1);
    ivshmem_port_close(NULL);
}

static void check_rings(IvshmemPort *port, unsigned peer)
{
    unsigned id = (unsigned)ivshmem_port_id(port), n = ivshmem_port_n_vectors(port);
    IvshmemPortPeer peers[4];
    int looks = 0;

    memset(peers, 0, sizeof(peers));
    check("peers", ivshmem_port_peers(port, peers, 4), 1);
    check("peer", (int)peers[0].id, (int)peer);
    check("its vectors", (int)peers[0].n_vectors, (int)n);
    check("a peer", ivshmem_port_ring(port, peer, n - 1), 0);
    check("its vector too many", ivshmem_port_ring(port, peer, n), -ERANGE);
    check("nobody", ivshmem_port_ring(port, 65535, 0), -ENOENT);
    check("a number too large", ivshmem_port_ring(port, 65536, 0), -EINVAL);
    check("a vector too large", ivshmem_port_ring(port, peer, 65536), -EINVAL);
    check("no doorbell", ivshmem_port_wait(port, 0, 0), 0);
    check("oneself", ivshmem_port_ring(port, id, 0), 0);
    check("a doorbell", ivshmem_port_wait(port, 0, -1), 1);
    check("taken", ivshmem_port_wait(port, 0, 1), 0);
    check("no such vector", ivshmem_port_wait(port, n, 0), -EINVAL);
    check("no such vector", ivshmem_port_wait_for(port, n, look, &looks, 0), -EINVAL);
    check("oneself", ivshmem_port_ring(port, id, 0), 0);
    check("it comes", ivshmem_port_wait_for(port, 0, look, &looks, -1), 1);
    check("it does not", ivshmem_port_wait_for(port, 0, look, &looks, 1), 0);
}

static void check_fds(IvshmemPort *port)
{
    struct pollfd fds[2];

    memset(fds, 0, sizeof(fds));
    fds[0].fd = ivshmem_port_vector_fd(port, 0);
    fds[1].fd = ivshmem_port_news_fd(port);
    fds[0].events = fds[1].events = POLLIN;
    check("quiet", poll(fds, 2, 0), 0);
    check("oneself", ivshmem_port_ring(port, (unsigned)ivshmem_port_id(port), 0), 0);
    check("rung", poll(fds, 2, -1), 1);
    check("the vector", fds[0].revents, POLLIN);
    check("no news", ivshmem_port_dispatch(port), 0);
    check("no such vector", ivshmem_port_vector_fd(port, ivshmem_port_n_vectors(port)), -EINVAL);
}

int main(int argc, char **argv)
{
    IvshmemPortOptions options;
    IvshmemPort *port = NULL;
    int result;

    if (argc != 3)
        return EXIT_FAILURE;
    memset(&options, 0, sizeof(options));
    options.log = count_line;
    options.opaque = &n_lines;
    check_refused(&options);
    check("devices", ivshmem_device_list(NULL, NULL, 0) >= 0, 1);
    result = ivshmem_port_open(&port, argv[1], &options);
    check("open", result, 0);
    if (result < 0)
        return EXIT_FAILURE;
    check("name", strcmp(ivshmem_port_name(port), argv[1]), 0);
    check("interrupts", ivshmem_port_has_interrupts(port), 1);
    check("size", (int)ivshmem_port_memory_size(port), 65536);
    memcpy(ivshmem_port_memory(port), "from the program", 16);
    check_rings(port, (unsigned)atoi(argv[2]));
    check_fds(port);
    ivshmem_port_close(port);
    return n_wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
