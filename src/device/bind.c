/* SPDX-License-Identifier: MIT */
/*
 * Which kernel driver has a device. `driver_override` names the driver that may have this one
 * device and no other may; `drivers_probe` then has the kernel try it. So nothing is said about
 * the device's kind, as `new_id` would, and other ivshmem devices stay as they are.
 *
 * drivers_probe reports success whatever the driver said, so the driver link tells how it went.
 */
#include <errno.h>
#include <string.h>

#include "device/attribute.h"
#include "device/pci.h"
#include "device/resource.h"
#include "device/vfio.h"
#include "util/cleanup.h"

typedef struct Binding {
    LogSink log;
    const char *root;
    IvshmemDeviceInfo info;
} Binding;

static int find(Binding *binding, const char *which, const IvshmemDeviceOptions *options)
{
    *binding = (Binding){.root = options && options->root ? options->root : ""};
    if (options)
        binding->log = (LogSink){.line = options->log, .opaque = options->opaque};
    return pci_find(binding->root, which, &binding->log, &binding->info);
}

static int fail(const Binding *binding, const char *what, int error)
{
    log_line(&binding->log, LOG_ERR, "%s: %s: %s", binding->info.address, what, strerror(-error));
    return error;
}

static int refuse_driver(const Binding *binding)
{
    log_line(&binding->log, LOG_ERR, "%s: the kernel's driver %s has it", binding->info.address,
             binding->info.driver);
    return -EBUSY;
}

static int write_leaf(const Binding *binding, const char *leaf, const char *text)
{
    char path[PATH_MAX];
    int result = attribute_path(path, binding->root, binding->info.address, leaf);

    return result < 0 ? result : attribute_write(path, text);
}

/* A file beside the devices' folder. */
static int write_bus(const Binding *binding, const char *leaf, const char *text)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/sys/bus/pci/%s", binding->root, leaf);

    return n < 0 || (size_t)n >= sizeof(path) ? -ENAMETOOLONG : attribute_write(path, text);
}

static bool has_driver(const Binding *binding, const char *driver)
{
    char name[IVSHMEM_DEVICE_DRIVER_SIZE];

    return attribute_link(binding->root, binding->info.address, "driver", name, sizeof(name)) ==
               0 &&
           strcmp(name, driver) == 0;
}

static int probe(const Binding *binding)
{
    int result = write_leaf(binding, "driver_override", VFIO_DRIVER);

    if (result < 0)
        return fail(binding, "cannot name its driver", result);
    result = write_bus(binding, "drivers_probe", binding->info.address);
    if (result < 0)
        return fail(binding, "cannot have its driver tried", result);
    if (has_driver(binding, VFIO_DRIVER))
        return 0;
    if (binding->info.iommu_group < 0) {
        log_line(&binding->log, LOG_ERR,
                 "%s: vfio-pci does not take it, as it is behind no IOMMU (QEMU: %s)",
                 binding->info.address, "-device intel-iommu,intremap=on");
        return -EOPNOTSUPP;
    }
    return fail(binding, "vfio-pci does not take it; the kernel's log says why", -EIO);
}

int ivshmem_device_bind(const char *which, const IvshmemDeviceOptions *options)
{
    _cleanup_close_ int lock = -1;
    char path[PATH_MAX];
    Binding binding;
    int result = find(&binding, which, options);

    if (result < 0)
        return result;
    if (strcmp(binding.info.driver, VFIO_DRIVER) == 0)
        return 0;
    if (binding.info.driver[0])
        return refuse_driver(&binding);
    result = snprintf(path, sizeof(path), "%s/sys/bus/pci/drivers/" VFIO_DRIVER, binding.root);
    if (result < 0 || (size_t)result >= sizeof(path))
        return -ENAMETOOLONG;
    if (access(path, F_OK) < 0)
        return fail(&binding, "the kernel's vfio-pci driver is not loaded", -errno);
    lock = resource_lock(binding.root, binding.info.address);
    if (lock < 0)
        return fail(&binding, "cannot lock it", lock);
    result = probe(&binding);
    if (result < 0)
        (void)write_leaf(&binding, "driver_override", "\n");
    return result;
}

int ivshmem_device_unbind(const char *which, const IvshmemDeviceOptions *options)
{
    Binding binding;
    int result = find(&binding, which, options);

    if (result < 0)
        return result;
    if (strcmp(binding.info.driver, VFIO_DRIVER) == 0)
        result = write_bus(&binding, "drivers/" VFIO_DRIVER "/unbind", binding.info.address);
    else if (binding.info.driver[0])
        return refuse_driver(&binding);
    if (result < 0)
        return fail(&binding, "cannot take it from vfio-pci", result);
    result = write_leaf(&binding, "driver_override", "\n");
    return result < 0 ? fail(&binding, "cannot clear its driver_override", result) : 0;
}
