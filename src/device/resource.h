/* SPDX-License-Identifier: MIT */
/*
 * A PCI device through sysfs alone: its configuration space and its resource files. No interrupts.
 * What goes wrong is logged here; the errors are those of ivshmem_device_open().
 */
#pragma once

#include <stdbool.h>

#include "device/bar.h"
#include "device/config.h"
#include "ivshmem-device.h"
#include "util/log.h"

typedef struct Resource {
    int lock;     /* owned, -1 if not open; holds the lock that makes the device ours */
    int config;   /* owned, -1 if not open */
    bool enabled; /* by us */
} Resource;

#define RESOURCE_CLOSED ((Resource){.lock = -1, .config = -1})

/**
 * Takes the lock of a device: an flock(2) on its resource0, which only root can open. It keeps
 * processes that use this library apart, also from one that would bind the device to vfio-pci.
 *
 * @return an fd that holds it until it is closed, -EBUSY, or a negative errno
 */
int resource_lock(const char *root, const char *address);

/** Locks the device and turns it on. On failure *resource holds what resource_close() closes. */
int resource_open(Resource *resource, const char *root, const char *address, const LogSink *log);

/** Turns it off if it was off, and lets it go. Its bus master bit may have been cleared. */
void resource_close(Resource *resource, const char *root, const char *address);

/** Maps a BAR's file: `suffix` is "" or "_wc". @return 0 or a negative errno */
int resource_bar(const char *root, const char *address, unsigned index, const char *suffix,
                 Bar *out);
