/* SPDX-License-Identifier: MIT */
/*
 * bench-guest-ring ADDRESS PEER ROUNDS
 *
 * Runs in a virtual machine: what it costs to ring through a port, and by a bare store to the same
 * register, which sysfs maps too. They alternate, a hundred of each; PEER should be one that does
 * not look, or nobody. A line a round: the medians of their pieces (ns).
 */
#include "common.h"

#include <ivshmem-port.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define RINGS  100 /* in a piece */
#define PIECES 51

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static volatile uint32_t *map_registers(const char *address)
{
    char path[128];
    void *registers;
    int fd;

    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", address);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        die("%s", path);
    registers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (registers == MAP_FAILED)
        die("mmap");
    return registers;
}

static double ring_by_port(IvshmemPort *port, unsigned peer)
{
    int64_t began = now_ns();

    for (int i = 0; i < RINGS; i++)
        if (ivshmem_port_ring(port, peer, 0) < 0)
            die("the port cannot ring");
    return (double)(now_ns() - began) / RINGS;
}

static double ring_by_store(volatile uint32_t *doorbell, unsigned peer)
{
    int64_t began = now_ns();

    for (int i = 0; i < RINGS; i++)
        *doorbell = peer << 16;
    return (double)(now_ns() - began) / RINGS;
}

int main(int argc, char **argv)
{
    double ported[PIECES], bare[PIECES];
    volatile uint32_t *registers;
    IvshmemPort *port;
    unsigned peer;
    char uri[64];

    if (argc != 4)
        die("usage: bench-guest-ring ADDRESS PEER ROUNDS");
    peer = (unsigned)argument(argv[2], 0, 65535);
    (void)snprintf(uri, sizeof(uri), "pci:%s", argv[1]);
    if (ivshmem_port_open(&port, uri, NULL) < 0)
        die("cannot open %s", uri);
    registers = map_registers(argv[1]);
    for (int64_t n = argument(argv[3], 1, 10000); n > 0; n--) {
        for (int i = 0; i < PIECES; i++) {
            ported[i] = ring_by_port(port, peer);
            bare[i] = ring_by_store(&registers[3], peer);
        }
        qsort(ported, PIECES, sizeof(*ported), compare);
        qsort(bare, PIECES, sizeof(*bare), compare);
        (void)printf("{\"port\": %.2f, \"store\": %.2f}\n", ported[PIECES / 2], bare[PIECES / 2]);
    }
    ivshmem_port_close(port);
    return EXIT_SUCCESS;
}
