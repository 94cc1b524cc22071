/* SPDX-License-Identifier: MIT */
/*
 * The order that the kernel wants (Documentation/driver-api/vfio.rst): a container, the group in
 * it, an IOMMU model for it, then the group's device. Opening a group is exclusive, which is what
 * makes the device this process's alone.
 *
 * The device never does DMA of its own, so no memory is mapped for it; the IOMMU is needed because
 * an MSI-X message is a write too, and vfio lets it through only where the IOMMU remaps interrupts.
 */
#include "device/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/sys.h"

/* ioctl(2) with a negative errno. */
static int call(int fd, unsigned long request, void *argument)
{
    int result = sys.ioctl(fd, request, argument);

    return result < 0 ? -errno : result;
}

static int open_at(const char *root, const char *name, int *out)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/dev/vfio/%s", root, name);

    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    *out = sys.open(path, O_RDWR | O_CLOEXEC);
    return *out < 0 ? -errno : 0;
}

static int open_container(Vfio *vfio, const char *root, const char *address, const LogSink *log)
{
    int result = open_at(root, "vfio", &vfio->container);

    if (result < 0) {
        log_line(log, LOG_ERR, "%s: cannot open /dev/vfio/vfio: %s%s", address, strerror(-result),
                 result == -ENOENT || result == -ENODEV ? " (is the vfio module loaded?)" : "");
        return result;
    }
    if (call(vfio->container, VFIO_GET_API_VERSION, NULL) != VFIO_API_VERSION ||
        call(vfio->container, VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU) <= 0) {
        log_line(log, LOG_ERR, "%s: the kernel's vfio has no type 1 IOMMU (is the module %s?)",
                 address, "vfio_iommu_type1 loaded");
        return -EOPNOTSUPP;
    }
    return 0;
}

static int open_group(Vfio *vfio, const char *root, const char *address, int group,
                      const LogSink *log)
{
    struct vfio_group_status status = {.argsz = sizeof(status)};
    char name[16];
    int result;

    (void)snprintf(name, sizeof(name), "%d", group);
    result = open_at(root, name, &vfio->group);
    if (result < 0) {
        log_line(
            log, LOG_ERR, "%s: cannot open /dev/vfio/%d: %s%s", address, group, strerror(-result),
            result == -EBUSY ? " (another process has a device of this IOMMU group open)" : "");
        return result;
    }
    result = call(vfio->group, VFIO_GROUP_GET_STATUS, &status);
    if (result < 0) {
        log_line(log, LOG_ERR, "%s: vfio says nothing of IOMMU group %d: %s", address, group,
                 strerror(-result));
        return result;
    }
    if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
        log_line(log, LOG_ERR, "%s: another driver has a device of the same IOMMU group, %d",
                 address, group);
        return -EPERM;
    }
    return 0;
}

int vfio_open(Vfio *vfio, const char *root, const char *address, int group, const LogSink *log)
{
    char name[64];
    int result;

    *vfio = VFIO_CLOSED;
    result = open_container(vfio, root, address, log);
    if (result < 0)
        return result;
    result = open_group(vfio, root, address, group, log);
    if (result < 0)
        return result;
    result = call(vfio->group, VFIO_GROUP_SET_CONTAINER, &vfio->container);
    if (result < 0) {
        log_line(log, LOG_ERR, "%s: vfio does not take IOMMU group %d: %s", address, group,
                 strerror(-result));
        return result;
    }
    result = call(vfio->container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
    if (result < 0) {
        log_line(log, LOG_ERR, "%s: vfio does not take this machine's IOMMU: %s%s", address,
                 strerror(-result),
                 result == -EPERM ? " (does it remap interrupts? QEMU: intremap=on)" : "");
        return result;
    }
    (void)snprintf(name, sizeof(name), "%s", address);
    result = call(vfio->group, VFIO_GROUP_GET_DEVICE_FD, name);
    if (result < 0) {
        log_line(log, LOG_ERR, "%s: vfio does not hand the device out: %s", address,
                 strerror(-result));
        return result;
    }
    vfio->device = result;
    return 0;
}

void vfio_close(Vfio *vfio)
{
    fd_close(vfio->device);
    fd_close(vfio->group);
    fd_close(vfio->container);
    *vfio = VFIO_CLOSED;
}

static int region(const Vfio *vfio, unsigned index, struct vfio_region_info *out)
{
    *out = (struct vfio_region_info){.argsz = sizeof(*out), .index = index};
    return call(vfio->device, VFIO_DEVICE_GET_REGION_INFO, out);
}

int vfio_config(const Vfio *vfio, Config *out)
{
    struct vfio_region_info info;
    int result = region(vfio, VFIO_PCI_CONFIG_REGION_INDEX, &info);

    if (result < 0)
        return result;
    *out = (Config){.fd = vfio->device, .base = (off_t)info.offset};
    return 0;
}

int vfio_bar(const Vfio *vfio, unsigned index, Bar *out)
{
    struct vfio_region_info info;
    int result = region(vfio, VFIO_PCI_BAR0_REGION_INDEX + index, &info);

    if (result < 0)
        return result;
    if (info.size == 0)
        return -ENXIO;
    if (info.flags & VFIO_REGION_INFO_FLAG_MMAP)
        return bar_map(out, vfio->device, (off_t)info.offset, 0, info.size);
    *out = (Bar){.size = info.size, .fd = vfio->device, .base = (off_t)info.offset};
    return 0;
}

int vfio_vectors_on(const Vfio *vfio, const int *fds, unsigned n)
{
    size_t size = sizeof(struct vfio_irq_set) + n * sizeof(int32_t);
    _cleanup_free_ struct vfio_irq_set *set = calloc(1, size);
    int result;

    if (!set)
        return -ENOMEM;
    set->argsz = (uint32_t)size;
    set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    set->index = VFIO_PCI_MSIX_IRQ_INDEX;
    set->count = n;
    for (unsigned i = 0; i < n; i++) {
        int32_t fd = fds[i];

        memcpy(set->data + i * sizeof(fd), &fd, sizeof(fd));
    }
    result = call(vfio->device, VFIO_DEVICE_SET_IRQS, set);
    return result > 0 ? -ENOSPC : result; /* positive: how many it could have had */
}

void vfio_vectors_off(const Vfio *vfio)
{
    struct vfio_irq_set set = {
        .argsz = sizeof(set),
        .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
        .index = VFIO_PCI_MSIX_IRQ_INDEX,
    };

    (void)call(vfio->device, VFIO_DEVICE_SET_IRQS, &set);
}
