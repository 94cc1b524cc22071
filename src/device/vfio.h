/* SPDX-License-Identifier: MIT */
/*
 * A PCI device through the kernel's vfio: its group, its regions, its MSI-X vectors. What goes
 * wrong is logged here with what the reader can do about it; the errors are those of
 * ivshmem_device_open().
 */
#pragma once

#include "device/bar.h"
#include "device/config.h"
#include "util/log.h"

#define VFIO_DRIVER "vfio-pci"

typedef struct Vfio {
    int container; /* all three owned, -1 if not open */
    int group;
    int device;
} Vfio;

#define VFIO_CLOSED ((Vfio){.container = -1, .group = -1, .device = -1})

/** Opens a device of an IOMMU group. On failure *vfio holds what vfio_close() has to close. */
int vfio_open(Vfio *vfio, const char *root, const char *address, int group, const LogSink *log);

/** Closes it; the kernel then turns off what is still on. */
void vfio_close(Vfio *vfio);

/** The configuration space, behind the device's fd. */
int vfio_config(const Vfio *vfio, Config *out);

/** A BAR, mapped if the kernel can map it. The Bar may borrow the device's fd. */
int vfio_bar(const Vfio *vfio, unsigned index, Bar *out);

/**
 * Turns MSI-X on: vector n of the device writes to fds[n].
 *
 * @return 0, -ENOSPC if the kernel has fewer interrupts left, or a negative errno
 */
int vfio_vectors_on(const Vfio *vfio, const int *fds, unsigned n);

/** Turns MSI-X off. */
void vfio_vectors_off(const Vfio *vfio);
