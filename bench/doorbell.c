/* SPDX-License-Identifier: MIT */
/*
 * bench-doorbell SERVER ROUNDS
 *
 * What it costs to ring a peer's doorbell through the client library, the same when it is wary,
 * through a port, and by a bare write() to the same eventfd. They alternate, a thousand of each, in
 * one process that nothing else wakes: nobody waits on the doorbell, so what is measured is the
 * ringing alone. For each round it prints a line with the time of one ring of each (ns): the
 * medians of its pieces.
 */
#include "common.h"
#include "server.h"

#include <ivshmem-client.h>
#include <ivshmem-port.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RINGS      1000 /* in a piece */
#define PIECES     101
#define TIMEOUT_MS 10000

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static double ring_by_library(const IvshmemClient *client, const IvshmemClientPeer *peer)
{
    int64_t began = now_ns();

    for (int i = 0; i < RINGS; i++)
        if (ivshmem_client_notify(client, peer, 0) < 0)
            die("the library cannot ring");
    return (double)(now_ns() - began) / RINGS;
}

static double ring_by_port(IvshmemPort *port, unsigned id)
{
    int64_t began = now_ns();

    for (int i = 0; i < RINGS; i++)
        if (ivshmem_port_ring(port, id, 0) < 0)
            die("the port cannot ring");
    return (double)(now_ns() - began) / RINGS;
}

static double ring_by_write(int doorbell)
{
    int64_t began = now_ns();
    uint64_t one = 1;

    for (int i = 0; i < RINGS; i++)
        if (write(doorbell, &one, sizeof(one)) != sizeof(one))
            die("write");
    return (double)(now_ns() - began) / RINGS;
}

static double ring_by_wary(IvshmemClient *client, const IvshmemClientPeer *peer)
{
    double each;

    ivshmem_client_set_wary(client, true);
    each = ring_by_library(client, peer);
    ivshmem_client_set_wary(client, false);
    return each;
}

static void measure(IvshmemClient *client, const IvshmemClientPeer *peer, IvshmemPort *port)
{
    double library[PIECES], wary[PIECES], ported[PIECES], bare[PIECES];

    for (int i = 0; i < PIECES; i++) {
        library[i] = ring_by_library(client, peer);
        ported[i] = ring_by_port(port, (unsigned)peer->id);
        bare[i] = ring_by_write(peer->vectors[0]);
        wary[i] = ring_by_wary(client, peer);
    }
    qsort(library, PIECES, sizeof(*library), compare);
    qsort(wary, PIECES, sizeof(*wary), compare);
    qsort(ported, PIECES, sizeof(*ported), compare);
    qsort(bare, PIECES, sizeof(*bare), compare);
    (void)printf("{\"library\": %.2f, \"wary\": %.2f, \"port\": %.2f, \"write\": %.2f}\n",
                 library[PIECES / 2], wary[PIECES / 2], ported[PIECES / 2], bare[PIECES / 2]);
}

static void join(IvshmemClient *client, const char *path)
{
    int r = ivshmem_client_init(client, path, NULL, NULL, false);

    ivshmem_client_set_vectors(client, 1);
    if (r < 0 || ivshmem_client_connect_timeout(client, TIMEOUT_MS) < 0 ||
        ivshmem_client_wait_ready(client, TIMEOUT_MS) < 0) {
        errno = 0;
        die("%s", ivshmem_client_error(client));
    }
}

static IvshmemPort *open_port(const char *path)
{
    const IvshmemPortOptions options = {.n_vectors = 1, .timeout_ms = TIMEOUT_MS};
    IvshmemPort *port;
    char uri[128];

    (void)snprintf(uri, sizeof(uri), "unix:%s", path);
    errno = 0;
    if (ivshmem_port_open(&port, uri, &options) < 0)
        die("cannot open %s", uri);
    return port;
}

int main(int argc, char **argv)
{
    static IvshmemClient peer, ringer;
    IvshmemPort *port;
    BenchServer server;
    const IvshmemClientPeer *target;
    int64_t n_rounds;

    if (argc != 3)
        die("usage: bench-doorbell SERVER ROUNDS");
    n_rounds = argument(argv[2], 1, 100000);
    bench_server_start(&server, argv[1], 1, 0);
    join(&peer, server.path);
    join(&ringer, server.path); /* it knows who was there before it */
    port = open_port(server.path);
    target = ivshmem_client_search_peer(&ringer, peer.local.id);
    errno = 0;
    if (!target || target->vectors_count != 1)
        die("the peer is not known");
    while (n_rounds-- > 0)
        measure(&ringer, target, port);
    ivshmem_port_close(port);
    ivshmem_client_close(&ringer);
    ivshmem_client_close(&peer);
    bench_server_stop(&server);
    return EXIT_SUCCESS;
}
