/* SPDX-License-Identifier: MIT */
/*
 * A device is opened in one of two ways, by the driver that it is bound to: through vfio with
 * interrupts, or through sysfs without. Both give a configuration space and two BARs, and the rest
 * is the same.
 *
 * Bus Master: vfio leaves it off, and without it no MSI-X message leaves the device and nothing
 * says so. It goes on before the first vector and back to what it was at the end.
 *
 * The first wait: QEMU drops a doorbell that arrives while the guest has MSI-X off. So each
 * eventfd is born readable, and whoever listens has looked at the memory once after MSI-X went on.
 *
 * How the memory is mapped: on x86 both ways map it uncached, which keeps the order of loads and
 * stores that x86 promises; sysfs's resource2_wc would let stores overtake each other, and release
 * stores of a compiler would not release. Write-back is not to be had. Elsewhere
 * uncached means device memory, which faults on unaligned access, as memcpy does; there
 * resource2_wc is normal memory, and barriers do what they do between threads.
 */
#include "device/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "device/doorbell.h"
#include "device/pci.h"
#include "util/cleanup.h"
#include "util/sys.h"

#define REGISTER_ID       8  /* IVPosition */
#define REGISTER_DOORBELL 12 /* peer << 16 | vector */
#define REGISTERS_SIZE    16 /* at least */

#if defined(__x86_64__) || defined(__i386__)
#define MEMORY_SUFFIX ""
#else
#define MEMORY_SUFFIX "_wc"
#endif

static void close_devicep(IvshmemDevice **device)
{
    ivshmem_device_close(*device);
}

/* Logs what went wrong with this device, and passes it on. */
static int fail(const IvshmemDevice *device, const char *what, int error)
{
    log_line(&device->log, LOG_ERR, "%s: %s: %s", device->address, what, strerror(-error));
    return error;
}

static int set_command(IvshmemDevice *device, uint16_t bits)
{
    uint16_t command;
    int result = config_read16(&device->config, CONFIG_COMMAND, &command);

    if (result < 0)
        return fail(device, "cannot read its command register", result);
    device->command_found = command;
    result = config_write16(&device->config, CONFIG_COMMAND, command | bits);
    return result < 0 ? fail(device, "cannot write its command register", result) : 0;
}

static int open_vfio(IvshmemDevice *device, int group)
{
    int result = vfio_open(&device->vfio, device->root, device->address, group, &device->log);

    if (result < 0)
        return result;
    result = vfio_config(&device->vfio, &device->config);
    if (result < 0)
        return fail(device, "vfio shows no configuration space", result);
    result = set_command(device, CONFIG_COMMAND_MEMORY | CONFIG_COMMAND_BUS_MASTER);
    if (result < 0)
        return result;
    result = vfio_bar(&device->vfio, BAR_REGISTERS, &device->registers);
    if (result < 0)
        return fail(device, "cannot map its registers", result);
    if (MEMORY_SUFFIX[0] && resource_bar(device->root, device->address, BAR_MEMORY, MEMORY_SUFFIX,
                                         &device->memory) == 0)
        return 0;
    result = vfio_bar(&device->vfio, BAR_MEMORY, &device->memory);
    if (result == 0 && !device->memory.map)
        result = -ENOTSUP;
    return result < 0 ? fail(device, "cannot map its memory", result) : 0;
}

static int open_resource(IvshmemDevice *device)
{
    int result = resource_open(&device->resource, device->root, device->address, &device->log);

    if (result < 0)
        return result;
    device->config = (Config){.fd = device->resource.config};
    result = set_command(device, CONFIG_COMMAND_MEMORY);
    if (result < 0)
        return result;
    result = resource_bar(device->root, device->address, BAR_REGISTERS, "", &device->registers);
    if (result < 0)
        return fail(device, "cannot map its registers", result);
    result =
        resource_bar(device->root, device->address, BAR_MEMORY, MEMORY_SUFFIX, &device->memory);
    if (result == -ENOENT && MEMORY_SUFFIX[0])
        result = resource_bar(device->root, device->address, BAR_MEMORY, "", &device->memory);
    return result < 0 ? fail(device, "cannot map its memory", result) : 0;
}

static int open_access(IvshmemDevice *device, const IvshmemDeviceInfo *info)
{
    if (info->revision == 0) {
        log_line(&device->log, LOG_ERR,
                 "%s: its revision is 0 (QEMU before 2.6), which is not supported",
                 device->address);
        return -EPROTONOSUPPORT;
    }
    if (strcmp(info->driver, VFIO_DRIVER) == 0)
        return open_vfio(device, info->iommu_group);
    if (info->driver[0]) {
        log_line(&device->log, LOG_ERR, "%s: the kernel's driver %s has it", device->address,
                 info->driver);
        return -EBUSY;
    }
    log_line(&device->log, LOG_INFO, "%s: is not bound to vfio-pci, so there are no interrupts",
             device->address);
    return open_resource(device);
}

static int read_id(IvshmemDevice *device)
{
    uint32_t id;
    int result;

    if (device->registers.size < REGISTERS_SIZE)
        return fail(device, "its registers are too few", -ENXIO);
    result = config_n_vectors(&device->config);
    if (result < 0)
        return fail(device, "cannot read its capabilities", result);
    device->n_vectors = (unsigned)result;
    device->id = -EOPNOTSUPP;
    if (device->n_vectors == 0)
        return 0;
    result = bar_read(&device->registers, REGISTER_ID, &id);
    if (result == 0 && id > DOORBELL_MAX)
        result = -EIO;
    if (result < 0)
        return fail(device, "cannot read its ID", result);
    device->id = (int)id;
    if (device->registers.map)
        device->doorbell = bar_place(&device->registers, REGISTER_DOORBELL);
    return 0;
}

static int take_interrupts(IvshmemDevice *device)
{
    int result;

    if (device->vfio.device < 0 || device->n_vectors == 0)
        return 0;
    device->vectors = calloc(device->n_vectors, sizeof(*device->vectors));
    if (!device->vectors)
        return -ENOMEM;
    for (; device->n_fds < device->n_vectors; device->n_fds++) {
        int fd = sys.eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

        if (fd < 0)
            return fail(device, "cannot make an eventfd", -errno);
        device->vectors[device->n_fds] = fd;
    }
    result = vfio_vectors_on(&device->vfio, device->vectors, device->n_vectors);
    if (result == -ENOSPC) {
        log_line(&device->log, LOG_ERR,
                 "%s: the kernel has no interrupts left for %u vectors (QEMU: fewer vectors=, or "
                 "more CPUs)",
                 device->address, device->n_vectors);
        return result;
    }
    if (result < 0)
        return fail(device, "cannot turn its interrupts on", result);
    device->interrupts = true;
    return 0;
}

int ivshmem_device_list(const IvshmemDeviceOptions *options, IvshmemDeviceInfo *infos, size_t n_max)
{
    return pci_list(options && options->root ? options->root : "", infos, n_max);
}

int ivshmem_device_open(IvshmemDevice **out, const char *which, const IvshmemDeviceOptions *options)
{
    _cleanup_(close_devicep) IvshmemDevice *device = calloc(1, sizeof(*device));
    IvshmemDeviceInfo info;
    int result;

    if (!device)
        return -ENOMEM;
    device->vfio = VFIO_CLOSED;
    device->resource = RESOURCE_CLOSED;
    device->command_found = -1;
    if (options)
        device->log = (LogSink){.line = options->log, .opaque = options->opaque};
    device->root = strdup(options && options->root ? options->root : "");
    if (!device->root)
        return -ENOMEM;
    result = pci_find(device->root, which, &device->log, &info);
    if (result < 0)
        return result;
    memcpy(device->address, info.address, sizeof(device->address));
    device->revision = info.revision;
    result = open_access(device, &info);
    if (result < 0)
        return result;
    result = read_id(device);
    if (result < 0)
        return result;
    result = take_interrupts(device);
    if (result < 0)
        return result;
    *out = ptr_steal(device);
    return 0;
}

void ivshmem_device_close(IvshmemDevice *device)
{
    if (!device)
        return;
    if (device->interrupts)
        vfio_vectors_off(&device->vfio);
    for (unsigned i = 0; i < device->n_fds; i++)
        fd_close(device->vectors[i]);
    free(device->vectors);
    bar_unmap(&device->memory);
    bar_unmap(&device->registers);
    if (device->command_found >= 0)
        (void)config_write16(&device->config, CONFIG_COMMAND, (uint16_t)device->command_found);
    vfio_close(&device->vfio);
    resource_close(&device->resource, device->root, device->address);
    free(device->root);
    free(device);
}

const char *ivshmem_device_address(const IvshmemDevice *device)
{
    return device->address;
}

unsigned ivshmem_device_revision(const IvshmemDevice *device)
{
    return device->revision;
}

int ivshmem_device_id(const IvshmemDevice *device)
{
    return device->id;
}

void *ivshmem_device_memory(const IvshmemDevice *device)
{
    return device->memory.at;
}

size_t ivshmem_device_memory_size(const IvshmemDevice *device)
{
    return device->memory.size;
}

unsigned ivshmem_device_n_vectors(const IvshmemDevice *device)
{
    return device->n_vectors;
}

bool ivshmem_device_has_interrupts(const IvshmemDevice *device)
{
    return device->interrupts;
}

volatile uint32_t *device_doorbell(const IvshmemDevice *device)
{
    return device->doorbell;
}

int ivshmem_device_ring(IvshmemDevice *device, unsigned peer, unsigned vector)
{
    if ((peer | vector) > DOORBELL_MAX)
        return -EINVAL;
    if (device->doorbell) {
        doorbell_store(device->doorbell, peer, vector);
        return 0;
    }
    if (device->id < 0)
        return device->id;
    return bar_write_through_fd(&device->registers, REGISTER_DOORBELL,
                                (uint32_t)peer << 16 | vector);
}
