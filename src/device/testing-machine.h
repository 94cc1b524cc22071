/* SPDX-License-Identifier: MIT */
/*
 * A machine that is a folder: a sysfs with PCI devices, and a vfio, made of plain files. For tests
 * only.
 *
 * A device's configuration space, registers and memory are real files that the code under test
 * really maps and reads; vfio's ioctls are answered here. machine.fail_ioctl, machine.fail_open
 * and machine.fail_call make one call fail.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "ivshmem-device.h"
#include "util/sys.h"
#include "util/testing.h"

#define MACHINE_ADDRESS   "0000:00:03.0"
#define MACHINE_MEMORY    8192 /* bytes */
#define MACHINE_N_VECTORS 3
#define MACHINE_ID        7
#define MACHINE_MSIX      0x40 /* where the capability is */
#define MACHINE_COMMAND   0x0101
/* Where vfio's file has its regions. */
#define MACHINE_CONFIG_AT 0
#define MACHINE_BAR0_AT   65536
#define MACHINE_BAR2_AT   131072

typedef struct Machine {
    char root[64];
    char log[4096]; /* lines that the code under test has logged */
    SysCalls real;
    int n_fds;                /* that were open before */
    unsigned fail_call;       /* the call of this number fails, counting from 1, */
    unsigned long fail_ioctl; /* this request fails, */
    const char *fail_open;    /* and so does open of a path that ends so, */
    int fail_errno;           /* with this */
    bool not_viable;
    int irqs_result;    /* what SET_IRQS gives if it does not fail */
    bool bar0_unmapped; /* vfio cannot map it */
    bool no_binding;    /* the driver refuses the device */
    int vectors[16];    /* what SET_IRQS has been given */
    unsigned n_vectors;
    unsigned n_calls; /* so far */
} Machine;

static Machine machine;

static inline void machine_path(char path[static PATH_MAX], const char *name)
{
    (void)snprintf(path, PATH_MAX, "%s/%s", machine.root, name);
}

static inline void machine_folder(const char *name)
{
    char path[PATH_MAX];

    machine_path(path, name);
    for (char *slash = strchr(path + strlen(machine.root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    (void)mkdir(path, 0700);
}

/* Puts bytes into a file at an offset; the file is made, or grows. */
static inline void machine_put(const char *name, off_t offset, const void *data, size_t size)
{
    char path[PATH_MAX];
    int fd;

    machine_path(path, name);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, offset), size);
    (void)close(fd);
}

static inline void machine_put_text(const char *name, const char *text)
{
    machine_put(name, 0, text, strlen(text));
}

static inline void machine_get(const char *name, off_t offset, void *data, size_t size)
{
    char path[PATH_MAX];
    int fd;

    machine_path(path, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, data, size, offset), size);
    (void)close(fd);
}

static inline void machine_link(const char *address, const char *leaf, const char *target)
{
    char path[PATH_MAX];
    char name[128];

    (void)snprintf(name, sizeof(name), "sys/bus/pci/devices/%s/%s", address, leaf);
    machine_path(path, name);
    (void)unlink(path);
    if (target)
        assert_int_equal(symlink(target, path), 0);
}

/* A file of a device. */
static inline const char *machine_leaf(const char *address, const char *leaf)
{
    static char name[128];

    (void)snprintf(name, sizeof(name), "sys/bus/pci/devices/%s/%s", address, leaf);
    return name;
}

static inline void machine_put_config(const char *name, off_t base)
{
    uint8_t config[256] = {0};
    const uint16_t command = htole16(MACHINE_COMMAND);

    memcpy(config + 0x04, &command, sizeof(command));
    config[0x06] = 0x10; /* it has capabilities, */
    config[0x34] = MACHINE_MSIX;
    config[MACHINE_MSIX] = 0x11; /* and one is MSI-X */
    config[MACHINE_MSIX + 2] = MACHINE_N_VECTORS - 1;
    machine_put(name, base, config, sizeof(config));
}

/* One device with a driver ("" for none) in IOMMU group 5, or in none. */
static inline void machine_add(const char *address, unsigned revision, const char *driver,
                               bool group)
{
    const uint32_t id = htole32(MACHINE_ID);
    uint8_t memory[MACHINE_MEMORY] = {0};
    uint8_t registers[256] = {0};
    char text[64];

    machine_folder(machine_leaf(address, ""));
    machine_put_text(machine_leaf(address, "vendor"), "0x1af4\n");
    machine_put_text(machine_leaf(address, "device"), "0x1110\n");
    (void)snprintf(text, sizeof(text), "0x%02x\n", revision);
    machine_put_text(machine_leaf(address, "revision"), text);
    machine_put_text(machine_leaf(address, "resource"),
                     "0x00000000febf1000 0x00000000febf10ff 0x0000000000040200\n"
                     "0x00000000febf2000 0x00000000febf2fff 0x0000000000040200\n"
                     "0x00000000fe000000 0x00000000fe001fff 0x000000000014220c\n"
                     "0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
    machine_put_text(machine_leaf(address, "enable"), "0");
    machine_put_text(machine_leaf(address, "driver_override"), "(null)\n");
    machine_put_config(machine_leaf(address, "config"), 0);
    memcpy(registers + 8, &id, sizeof(id));
    machine_put(machine_leaf(address, "resource0"), 0, registers, sizeof(registers));
    machine_put(machine_leaf(address, "resource2"), 0, memory, sizeof(memory));
    machine_put_config("vfio-device", MACHINE_CONFIG_AT);
    machine_put("vfio-device", MACHINE_BAR0_AT, registers, sizeof(registers));
    machine_put("vfio-device", MACHINE_BAR2_AT, memory, sizeof(memory));
    machine_link(address, "iommu_group", group ? "../../kernel/iommu_groups/5" : NULL);
    (void)snprintf(text, sizeof(text), "../../bus/pci/drivers/%s", driver);
    machine_link(address, "driver", driver[0] ? text : NULL);
}

static inline bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* Whether it is this call's turn to fail. */
static inline bool machine_fails(void)
{
    if (++machine.n_calls != machine.fail_call)
        return false;
    errno = machine.fail_errno;
    return true;
}

/* The kernel's part in binding: what is opened for writing is taken for written. */
static inline int machine_open(const char *path, int flags)
{
    if (machine_fails())
        return -1;
    if (machine.fail_open && ends_with(path, machine.fail_open)) {
        errno = machine.fail_errno;
        return -1;
    }
    if (ends_with(path, "/drivers_probe") && !machine.no_binding)
        machine_link(MACHINE_ADDRESS, "driver", "../../bus/pci/drivers/vfio-pci");
    if (ends_with(path, "/vfio-pci/unbind"))
        machine_link(MACHINE_ADDRESS, "driver", NULL);
    return machine.real.open(path, flags);
}

static inline int machine_eventfd(unsigned initial, int flags)
{
    return machine_fails() ? -1 : machine.real.eventfd(initial, flags);
}

static inline void *machine_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    if (machine_fails())
        return MAP_FAILED;
    return machine.real.mmap(addr, len, prot, flags, fd, offset);
}

static inline int machine_region(struct vfio_region_info *info)
{
    info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    switch (info->index) {
    case VFIO_PCI_BAR0_REGION_INDEX:
        info->offset = MACHINE_BAR0_AT;
        info->size = 256;
        if (!machine.bar0_unmapped)
            info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
        return 0;
    case VFIO_PCI_BAR2_REGION_INDEX:
        info->offset = MACHINE_BAR2_AT;
        info->size = MACHINE_MEMORY;
        info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
        return 0;
    case VFIO_PCI_CONFIG_REGION_INDEX:
        info->offset = MACHINE_CONFIG_AT;
        info->size = 256;
        return 0;
    default:
        errno = EINVAL;
        return -1;
    }
}

static inline int machine_irqs(const struct vfio_irq_set *set)
{
    assert_int_equal(set->index, VFIO_PCI_MSIX_IRQ_INDEX);
    assert_true(set->count <= 16);
    if (set->count && machine.irqs_result)
        return machine.irqs_result;
    for (unsigned i = 0; i < set->count; i++)
        memcpy(&machine.vectors[i], set->data + i * sizeof(int32_t), sizeof(int32_t));
    machine.n_vectors = set->count;
    return 0;
}

static inline int machine_ioctl(int fd, unsigned long request, void *argument)
{
    char path[PATH_MAX];

    (void)fd;
    if (machine_fails())
        return -1;
    if (machine.fail_ioctl == request) {
        errno = machine.fail_errno;
        return -1;
    }
    switch (request) {
    case VFIO_GET_API_VERSION:
        return VFIO_API_VERSION;
    case VFIO_CHECK_EXTENSION:
        return (uintptr_t)argument == VFIO_TYPE1v2_IOMMU;
    case VFIO_GROUP_GET_STATUS:
        ((struct vfio_group_status *)argument)->flags =
            machine.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
        return 0;
    case VFIO_GROUP_SET_CONTAINER:
    case VFIO_SET_IOMMU:
        return 0;
    case VFIO_GROUP_GET_DEVICE_FD:
        assert_string_equal(argument, MACHINE_ADDRESS);
        machine_path(path, "vfio-device");
        return machine.real.open(path, O_RDWR | O_CLOEXEC);
    case VFIO_DEVICE_GET_REGION_INFO:
        return machine_region(argument);
    case VFIO_DEVICE_SET_IRQS:
        return machine_irqs(argument);
    default:
        errno = ENOTTY;
        return -1;
    }
}

static inline void machine_log(void *opaque, int priority, const char *line)
{
    size_t used = strlen(machine.log);

    (void)opaque;
    (void)priority;
    (void)snprintf(machine.log + used, sizeof(machine.log) - used, "%s\n", line);
}

static inline const IvshmemDeviceOptions *machine_options(void)
{
    static IvshmemDeviceOptions options;

    options = (IvshmemDeviceOptions){.root = machine.root, .log = machine_log};
    return &options;
}

/* cmocka's setup: an empty machine, with vfio loaded. */
static inline int machine_start(void **state)
{
    (void)state;
    machine = (Machine){.real = sys, .n_fds = count_open_fds()};
    (void)snprintf(machine.root, sizeof(machine.root), "/tmp/ivshmem-machine-XXXXXX");
    assert_non_null(mkdtemp(machine.root));
    machine_folder("sys/bus/pci/devices");
    machine_folder("sys/bus/pci/drivers/vfio-pci");
    machine_put_text("sys/bus/pci/drivers/vfio-pci/unbind", "-");
    machine_put_text("sys/bus/pci/drivers_probe", "-");
    machine_folder("dev/vfio");
    machine_put_text("dev/vfio/vfio", "");
    machine_put_text("dev/vfio/5", "");
    sys.open = machine_open;
    sys.ioctl = machine_ioctl;
    sys.eventfd = machine_eventfd;
    sys.mmap = machine_mmap;
    return 0;
}

/* cmocka's teardown: nothing is left open. */
static inline int machine_stop(void **state)
{
    char command[128];

    (void)state;
    sys = machine.real;
    (void)snprintf(command, sizeof(command), "rm -r %s", machine.root);
    return count_open_fds() != machine.n_fds || system(command) != 0;
}

static inline void machine_ignore(int number)
{
    (void)number;
}

/* Sends SIGALRM every so many milliseconds, again and again so that none is missed; 0 ends it. */
static inline void machine_alarm(int milliseconds)
{
    const struct sigaction action = {.sa_handler = machine_ignore}; /* not SA_RESTART */
    const struct timeval time = {.tv_usec = milliseconds * 1000};

    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &(struct itimerval){time, time}, NULL), 0);
}

#define machine_test(test) cmocka_unit_test_setup_teardown(test, machine_start, machine_stop)
