/* SPDX-License-Identifier: MIT */
/*
 * bench-guest-floor ADDRESS GROUP PEER COUNT
 *
 * Runs in a virtual machine: the plainest program that makes round trips through vfio to a peer
 * that runs `ivshmem-client pong`. A store to the memory, a store to the doorbell, poll and read,
 * and the clock once. It prints the median (us). ivshmem-client's src/tools/client/link.h says what
 * the bytes mean.
 */
#include "common.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define COMMAND    4 /* PCI configuration space */
#define BUS_MASTER 6 /* with memory */
#define MAGIC      UINT64_C(0x676e69706d687376)

typedef struct Block {
    _Alignas(64) _Atomic uint64_t magic;
    uint32_t id, vector, spins, idle_ms;
    uint64_t base;
    _Alignas(64) _Atomic uint64_t ping;
    _Alignas(64) _Atomic uint64_t pong;
} Block;

static int open_device(const char *address, const char *group_number)
{
    int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), group, device;
    char path[64];

    (void)snprintf(path, sizeof(path), "/dev/vfio/%s", group_number);
    group = open(path, O_RDWR | O_CLOEXEC);
    if (container < 0 || group < 0)
        die("%s", path);
    if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0 ||
        ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
        die("no IOMMU");
    device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
    if (device < 0)
        die("%s", address);
    return device;
}

static struct vfio_region_info region(int device, unsigned index)
{
    struct vfio_region_info info = {.argsz = sizeof(info), .index = index};

    if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
        die("region %u", index);
    return info;
}

static void *map(int device, unsigned index)
{
    struct vfio_region_info info = region(device, index);
    void *memory =
        mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);

    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

static int take_vector(int device)
{
    struct vfio_region_info config = region(device, VFIO_PCI_CONFIG_REGION_INDEX);
    const uint16_t command = BUS_MASTER;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    char bytes[sizeof(struct vfio_irq_set) + sizeof(fd)];
    struct vfio_irq_set set = {
        .argsz = sizeof(bytes),
        .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
        .index = VFIO_PCI_MSIX_IRQ_INDEX,
        .count = 1,
    };

    memcpy(bytes, &set, sizeof(set));
    memcpy(bytes + sizeof(set), &fd, sizeof(fd));
    if (pwrite(device, &command, sizeof(command), (off_t)config.offset + COMMAND) < 0 ||
        ioctl(device, VFIO_DEVICE_SET_IRQS, bytes) < 0)
        die("no interrupts");
    return fd;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

static void wait_for(int fd, const _Atomic uint64_t *counter, uint64_t wanted)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint64_t count;

    while (atomic_load_explicit(counter, memory_order_acquire) != wanted)
        if (poll(&poll_fd, 1, 10000) != 1 || read(fd, &count, sizeof(count)) != sizeof(count))
            die("no answer");
}

int main(int argc, char **argv)
{
    volatile uint32_t *registers;
    uint64_t base = (uint64_t)now_ns(), count;
    int64_t *times, began;
    uint32_t doorbell;
    Block *block;
    int device, fd;

    if (argc != 5)
        die("usage: bench-guest-floor ADDRESS GROUP PEER COUNT");
    count = (uint64_t)argument(argv[4], 1, 1000000);
    times = calloc(count, sizeof(*times));
    if (!times)
        die("no memory");
    device = open_device(argv[1], argv[2]);
    registers = map(device, VFIO_PCI_BAR0_REGION_INDEX);
    block = map(device, VFIO_PCI_BAR2_REGION_INDEX);
    fd = take_vector(device);
    doorbell = (uint32_t)argument(argv[3], 0, 65535) << 16;
    block->id = registers[2];
    block->vector = block->spins = block->idle_ms = 0;
    block->base = base;
    atomic_store(&block->ping, 0);
    atomic_store(&block->pong, base);
    atomic_store(&block->magic, MAGIC);
    began = now_ns();
    for (uint64_t i = 1; i <= count; i++) {
        int64_t now;

        atomic_store_explicit(&block->ping, base + i, memory_order_release);
        registers[3] = doorbell;
        wait_for(fd, &block->pong, base + i);
        now = now_ns();
        times[i - 1] = now - began;
        began = now;
    }
    memset(block, 0, 256);
    qsort(times, count, sizeof(*times), compare);
    (void)printf("{\"p50\": %.3f}\n", (double)times[(count - 1) / 2] / 1000);
    return EXIT_SUCCESS;
}
