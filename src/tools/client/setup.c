/* SPDX-License-Identifier: MIT */
/*
 * setup: what a guest has to do once after boot, so that programs can be woken by their device:
 * load vfio-pci, give it the device, and let a group open it. Only the device's driver_override is
 * set: a new ID in the driver would catch others too.
 */
#include "tools/client/devices.h"
#include "tools/client/modules.h"

#include "util/cleanup.h"
#include "util/size.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SYSFS    "/sys/bus/pci"
#define NO_GROUP ((gid_t)-1)

typedef struct Setup {
    const ToolOptions *options;
    gid_t group;
    char error[512]; /* the last that the device library told */
} Setup;

static void take_line(void *opaque, int priority, const char *line)
{
    Setup *setup = opaque;

    (void)priority;
    (void)snprintf(setup->error, sizeof(setup->error), "%s", line);
}

/* Read here and not by getgrnam(): a static program cannot load what that would. */
static int find_group(const char *name, gid_t *out)
{
    size_t length = strlen(name);
    char line[4096];
    uint64_t number;
    FILE *file;

    if (count_parse(name, 0, INT_MAX, &number) == 0) {
        *out = (gid_t)number;
        return STATUS_OK;
    }
    file = fopen("/etc/group", "re");
    while (file && fgets(line, sizeof(line), file)) {
        unsigned gid;

        if (strncmp(line, name, length) == 0 && line[length] == ':' &&
            sscanf(line + length, ":%*[^:]:%u", &gid) == 1) {
            *out = gid;
            (void)fclose(file);
            return STATUS_OK;
        }
    }
    if (file)
        (void)fclose(file);
    return tool_error("there is no group '%s' in /etc/group", name);
}

static void show_setup(const Setup *setup, const IvshmemDeviceInfo *device)
{
    if (strcmp(device->driver, "vfio-pci") != 0)
        (void)printf("echo vfio-pci > " SYSFS "/devices/%s/driver_override\n"
                     "echo %s > " SYSFS "/drivers_probe\n",
                     device->address, device->address);
    if (setup->group != NO_GROUP)
        (void)printf("chgrp %s /dev/vfio/%d\nchmod 660 /dev/vfio/%d\n", setup->options->group,
                     device->iommu_group, device->iommu_group);
}

static int set_rights(const Setup *setup, const IvshmemDeviceInfo *device)
{
    char path[64];

    if (setup->group == NO_GROUP)
        return STATUS_OK;
    (void)snprintf(path, sizeof(path), "/dev/vfio/%d", device->iommu_group);
    if (chown(path, (uid_t)-1, setup->group) < 0 || chmod(path, 0660) < 0)
        return tool_error("cannot let group %s open %s: %s", setup->options->group, path,
                          strerror(errno));
    return STATUS_OK;
}

static int set_up(Setup *setup, const IvshmemDeviceInfo *device)
{
    const IvshmemDeviceOptions log = {.log = take_line, .opaque = setup};
    int r;

    if (setup->options->dry_run) {
        show_setup(setup, device);
        return STATUS_OK;
    }
    r = ivshmem_device_bind(device->address, &log);
    if (r < 0)
        return tool_error("%s", *setup->error ? setup->error : strerror(-r));
    if (set_rights(setup, device) != STATUS_OK)
        return STATUS_ERROR;
    (void)printf("%s: bound to vfio-pci, as /dev/vfio/%d\n", device->address, device->iommu_group);
    return STATUS_OK;
}

static int undo(Setup *setup, const IvshmemDeviceInfo *device)
{
    const IvshmemDeviceOptions log = {.log = take_line, .opaque = setup};
    int r;

    if (setup->options->dry_run) {
        if (strcmp(device->driver, "vfio-pci") == 0)
            (void)printf("echo %s > " SYSFS "/drivers/vfio-pci/unbind\n", device->address);
        (void)printf("echo > " SYSFS "/devices/%s/driver_override\n", device->address);
        return STATUS_OK;
    }
    r = ivshmem_device_unbind(device->address, &log);
    if (r < 0)
        return tool_error("%s", *setup->error ? setup->error : strerror(-r));
    (void)printf("%s: without a driver\n", device->address);
    return STATUS_OK;
}

int run_setup(const ToolOptions *options)
{
    _cleanup_(devices_free) Devices devices = {0};
    Setup setup = {.options = options, .group = NO_GROUP};
    int status = STATUS_OK;

    if (devices_find(&devices, options) != STATUS_OK)
        return STATUS_ERROR;
    if (devices.n == 0)
        return tool_error("this machine has no ivshmem device (PCI 1af4:1110)");
    if (options->group && find_group(options->group, &setup.group) != STATUS_OK)
        return STATUS_ERROR;
    if (!options->dry_run && geteuid() != 0)
        return tool_error("setup needs root (--dry-run does not)");
    if (!options->undo && modules_load(options->dry_run) != STATUS_OK)
        return STATUS_ERROR;
    for (size_t i = 0; i < devices.n; i++)
        if ((options->undo ? undo : set_up)(&setup, &devices.at[i]) != STATUS_OK)
            status = STATUS_ERROR;
    return status;
}
