/* SPDX-License-Identifier: MIT */
/* The ivshmem devices of this machine, found and described by its kernel's sysfs. */
#pragma once

#include <stdint.h>

#include "ivshmem-device.h"
#include "util/log.h"

#define BAR_REGISTERS 0 /* 32-bit registers, 256 bytes */
#define BAR_MEMORY    2 /* the shared memory */

/** One of a device's memory resources, as the kernel has placed it. */
typedef struct PciResource {
    uint64_t start; /* physical address */
    uint64_t size;  /* bytes, 0 if the device has none */
} PciResource;

/** As ivshmem_device_list(). */
int pci_list(const char *root, IvshmemDeviceInfo *infos, size_t n_max);

/** Finds one device; `which` is as for ivshmem_device_open(), and so are the errors. */
int pci_find(const char *root, const char *which, const LogSink *log, IvshmemDeviceInfo *out);

/** Where a BAR lies. @return 0, or a negative errno */
int pci_resource(const char *root, const char *address, unsigned bar, PciResource *out);
