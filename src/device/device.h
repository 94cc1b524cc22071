/* SPDX-License-Identifier: MIT */
/* What one opened device consists of; for this module only. */
#pragma once

#include "device/bar.h"
#include "device/config.h"
#include "device/resource.h"
#include "device/vfio.h"
#include "ivshmem-device.h"
#include "util/log.h"

struct IvshmemDevice {
    LogSink log;
    char *root; /* owned; "" for the system's own */
    char address[IVSHMEM_DEVICE_ADDRESS_SIZE];
    unsigned revision;
    int id; /* -EOPNOTSUPP for ivshmem-plain */

    Vfio vfio;         /* open if the device is bound to vfio-pci */
    Resource resource; /* open otherwise */
    Config config;     /* behind either */
    int command_found; /* the command register as it was, -1 if it was not read */

    Bar registers;
    volatile uint32_t *doorbell; /* in them; NULL if they are not mapped, or it has no peers */
    Bar memory;
    int *vectors; /* owned eventfds, n_fds of them; NULL without interrupts */
    unsigned n_fds;
    unsigned n_vectors; /* that the device has */
    bool interrupts;
};
