/* SPDX-License-Identifier: MIT */
/*
 * The doctor in a virtual machine: its devices, from what the kernel shows down to whether a
 * doorbell arrives. For that it rings itself: the doorbell goes through QEMU and comes back, so it
 * also shows how many of the device's vectors the server has given QEMU.
 */
#include "tools/client/devices.h"
#include "tools/client/doctor.h"
#include "tools/client/modules.h"

#include "util/cleanup.h"
#include "util/plural.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RING_TIMEOUT_MS 500
#define COMMAND         4 /* the command register's offset in the configuration space */
#define BUS_MASTER      4 /* in its low byte */

/* 1, 0, or -1 if it cannot be seen. */
static int has_bus_master(const char *address)
{
    char path[PATH_MAX];
    unsigned char command;
    _cleanup_close_ int fd = -1;

    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", address);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, &command, sizeof(command), COMMAND) != sizeof(command))
        return -1;
    return (command & BUS_MASTER) != 0;
}

static void check_driver(Doctor *doctor, const IvshmemDeviceInfo *device)
{
    if (device->driver[0])
        doctor_bad(doctor,
                   "take it away: echo ADDRESS > /sys/bus/pci/devices/ADDRESS/driver/unbind",
                   "%s: the kernel's driver %s has it", device->address, device->driver);
    else
        doctor_bad(doctor, "run '" PROGRAM " setup' as root",
                   "%s: is not bound to vfio-pci%s, so there are no interrupts", device->address,
                   modules_are_loaded() ? "" : ", which is not loaded");
}

/* Whether this user may open the group. */
static bool check_rights(Doctor *doctor, const IvshmemDeviceInfo *device)
{
    struct stat status = {0};
    char path[64];

    (void)snprintf(path, sizeof(path), "/dev/vfio/%d", device->iommu_group);
    if (access(path, R_OK | W_OK) == 0)
        return true;
    if (errno != EACCES) {
        doctor_bad(doctor, "is /dev of this machine managed?", "%s: %s", path, strerror(errno));
        return false;
    }
    (void)stat(path, &status);
    doctor_bad(doctor, "run '" PROGRAM " setup --group NAME' as root, and be in that group",
               "%s: user %u may not open %s, which belongs to %u:%u with mode %04o",
               device->address, (unsigned)geteuid(), path, (unsigned)status.st_uid,
               (unsigned)status.st_gid, (unsigned)status.st_mode & 07777);
    return false;
}

/* Rings each of our own vectors. Gives how many arrive, from the first one on. */
static unsigned count_arriving(IvshmemPort *port)
{
    unsigned id = (unsigned)ivshmem_port_id(port);
    unsigned n = ivshmem_port_n_vectors(port);

    for (unsigned i = 0; i < n; i++) {
        (void)ivshmem_port_wait(port, i, 0); /* the first, which is there at once */
        if (ivshmem_port_ring(port, id, i) < 0 || ivshmem_port_wait(port, i, RING_TIMEOUT_MS) != 1)
            return i;
    }
    return n;
}

static void check_vectors(Doctor *doctor, const char *address, IvshmemPort *port)
{
    unsigned has = ivshmem_port_n_vectors(port);
    unsigned arriving = count_arriving(port);

    if (arriving == has)
        doctor_good("%s: is peer %d, and all of its %u vectors arrive", address,
                    ivshmem_port_id(port), has);
    else if (arriving == 0)
        doctor_bad(doctor,
                   "does the server give any vectors? '" PROGRAM " doctor' on the host says",
                   "%s: is peer %d, but none of its %u vectors arrive", address,
                   ivshmem_port_id(port), has);
    else
        doctor_bad(doctor, "give both the same number (QEMU: vectors=; the server: --vectors)",
                   "%s: has %u vector%s, but the server gives %u", address, has, plural(has),
                   arriving);
}

static void explain(Doctor *doctor, const IvshmemDeviceInfo *device, int result)
{
    const char *said = tool_last_error();

    if (result == -EPERM)
        doctor_bad(doctor, "QEMU: -device intel-iommu,intremap=on or -device amd-iommu,intremap=on",
                   "%s: vfio refuses it, as the IOMMU does not remap interrupts, or as another "
                   "driver has a device of its group",
                   device->address);
    else
        doctor_bad(doctor, NULL, "%s", *said ? said : strerror(-result));
    if (result == -EBUSY && strcmp(device->driver, "vfio-pci") == 0 &&
        has_bus_master(device->address) == 0)
        doctor_bad(doctor, "that program must set it, as ivshmem_device_open() does",
                   "%s: is open with Bus Master off, so no interrupt arrives", device->address);
}

static void check_open(Doctor *doctor, const IvshmemDeviceInfo *device)
{
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    ToolOptions options = *doctor->options;
    char uri[64];
    int result;

    (void)snprintf(uri, sizeof(uri), PCI_SCHEME "%s", device->address);
    options.port = uri;
    options.socket = NULL;
    result = tool_try_open(&port, &options, NULL);
    if (result < 0) {
        explain(doctor, device, result);
        return;
    }
    if (ivshmem_port_id(port) < 0) {
        doctor_good("%s: is an ivshmem-plain device: memory, and no peers", device->address);
        return;
    }
    if (ivshmem_port_has_interrupts(port) && has_bus_master(device->address) == 0)
        doctor_bad(doctor, NULL, "%s: Bus Master stays off, so no interrupt arrives",
                   device->address);
    else if (ivshmem_port_has_interrupts(port))
        check_vectors(doctor, device->address, port);
    else
        doctor_good("%s: is peer %d, and can ring, and look at the memory", device->address,
                    ivshmem_port_id(port));
    doctor_check_peer(doctor, port);
}

static void check_device(Doctor *doctor, const IvshmemDeviceInfo *device)
{
    doctor_good("%s: ivshmem device of revision %u with %llu bytes of memory", device->address,
                device->revision, (unsigned long long)device->memory_size);
    if (device->revision == 0) {
        doctor_bad(doctor, "use QEMU 2.6 or later", "%s: is too old", device->address);
        return;
    }
    if (device->iommu_group < 0)
        doctor_bad(doctor, "QEMU: -M q35 -device intel-iommu,intremap=on",
                   "%s: this machine has no IOMMU, so there are no interrupts", device->address);
    else if (strcmp(device->driver, "vfio-pci") != 0)
        check_driver(doctor, device);
    if (device->driver[0] && strcmp(device->driver, "vfio-pci") != 0)
        return;
    if (!device->driver[0] && geteuid() != 0) {
        doctor_bad(doctor, "try as root", "%s: without vfio-pci, only root may open it",
                   device->address);
        return;
    }
    if (!device->driver[0] || check_rights(doctor, device))
        check_open(doctor, device);
}

int doctor_check_devices(Doctor *doctor)
{
    _cleanup_(devices_free) Devices devices = {0};

    if (devices_find(&devices, doctor->options) != STATUS_OK)
        return STATUS_ERROR;
    if (devices.n == 0)
        doctor_bad(
            doctor,
            "on a host, start the server or say with --socket where it is; in a guest, QEMU: "
            "-chardev socket,path=SOCKET,id=c -device ivshmem-doorbell,chardev=c",
            "there is neither an ivshmem device (PCI 1af4:1110) nor " DEFAULT_SOCKET);
    for (size_t i = 0; i < devices.n; i++)
        check_device(doctor, &devices.at[i]);
    return STATUS_OK;
}
