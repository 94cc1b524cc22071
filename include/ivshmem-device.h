/* SPDX-License-Identifier: MIT */
/*
 * Be a peer inside a virtual machine, through QEMU's ivshmem-doorbell PCI device, from user space
 * and on a stock kernel.
 *
 *     IvshmemDevice *device;
 *     int result = ivshmem_device_open(&device, NULL, NULL);
 *
 *     if (result < 0)
 *         return result;
 *     memcpy(ivshmem_device_memory(device), "hello", 6);
 *     result = ivshmem_device_ring(device, 1, 0);
 *     ...
 *     ivshmem_device_close(device);
 *
 * Sending always works. Being woken needs the device to be bound to the kernel's vfio-pci driver,
 * which needs an IOMMU with interrupt remapping (QEMU: `-device intel-iommu,intremap=on`). Without
 * them the library reaches the device through sysfs, ivshmem_device_has_interrupts() is false, and
 * waiting is looking at the memory every now and then: ivshmem_device_wait_for() does either.
 *
 * A doorbell is a hint, the memory is the truth. Doorbells that were rung before this peer listened
 * are lost, several can arrive as one, and the first wait on each vector returns at once without
 * one. So: look at the memory, wait, look again.
 *
 * Functions return 0 (or what they document) or a negative errno. Nothing here prints, exits or
 * aborts. A device is for one thread at a time, except that ivshmem_device_ring() may be called
 * from any.
 */
#ifndef IVSHMEM_DEVICE_H
#define IVSHMEM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef IVSHMEM_API
#if defined(__GNUC__)
#define IVSHMEM_API __attribute__((visibility("default")))
#else
#define IVSHMEM_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define IVSHMEM_DEVICE_ADDRESS_SIZE 24 /* bytes of "0000:00:03.0", its NUL, and room for more */
#define IVSHMEM_DEVICE_DRIVER_SIZE  32 /* bytes of a kernel driver's name and its NUL */

/** A device that this process has opened. */
typedef struct IvshmemDevice IvshmemDevice;

/** What one device of this machine is, as its kernel sees it. */
typedef struct IvshmemDeviceInfo {
    char address[IVSHMEM_DEVICE_ADDRESS_SIZE]; /* on the PCI bus: domain:bus:slot.function */
    char driver[IVSHMEM_DEVICE_DRIVER_SIZE];   /* the kernel's driver for it, or "" */
    unsigned revision;                         /* of the device; 0 is refused by open */
    int iommu_group;                           /* -1: behind no IOMMU, so no interrupts */
    uint64_t memory_size;                      /* bytes */
} IvshmemDeviceInfo;

/** How to reach devices. All-zero is the default, and so is NULL in its place. */
typedef struct IvshmemDeviceOptions {
    const char *root; /* the folder that holds sys/ and dev/; NULL: / */
    /* Takes each line of what goes wrong, with a priority of syslog(3); no newline at its end. */
    void (*log)(void *opaque, int priority, const char *line);
    void *opaque; /* handed to log */
} IvshmemDeviceOptions;

/**
 * Lists the ivshmem devices of this machine (PCI 1af4:1110), in the order of their addresses.
 *
 * @param options may be NULL
 * @param infos   filled with the first n_max of them; may be NULL if n_max is 0
 * @return how many there are, which can be more than n_max, or a negative errno
 */
IVSHMEM_API int ivshmem_device_list(const IvshmemDeviceOptions *options, IvshmemDeviceInfo *infos,
                                    size_t n_max);

/**
 * Opens a device: maps its memory, reads its ID and, where it can, takes its interrupts. The
 * device is this process's alone until ivshmem_device_close(), which leaves it as it was found.
 *
 * @param out     gets the device, which is the caller's to close; untouched on failure
 * @param which   a PCI address ("0000:00:03.0" or "00:03.0"), a number in the order of
 *                ivshmem_device_list() ("0"), or NULL for the first
 * @param options may be NULL; what it points to must live until the device is closed, the
 *                struct itself and the root need not
 * @return 0, or
 *         -EINVAL           `which` is neither an address nor a number
 *         -ENODEV           there is no such device, or it is no ivshmem device
 *         -EBUSY            it is open already, or a driver other than vfio-pci has it
 *         -EPROTONOSUPPORT  its revision is 0 (QEMU before 2.6), whose registers are others
 *         -EPERM, -EACCES   the kernel keeps it: rights, an IOMMU without interrupt remapping, or
 *                           a device of the same IOMMU group that another driver has
 *         -ENOSPC           the kernel has fewer interrupts left than the device has vectors
 *         or what a system call said
 */
IVSHMEM_API int ivshmem_device_open(IvshmemDevice **out, const char *which,
                                    const IvshmemDeviceOptions *options);

/**
 * Turns the interrupts off, puts the device's command register back, unmaps the memory and frees
 * the device. NULL is fine. Pointers into the memory and the vectors' fds are dead afterwards.
 */
IVSHMEM_API void ivshmem_device_close(IvshmemDevice *device);

/** Where it is on the PCI bus. Lives as long as the device. */
IVSHMEM_API const char *ivshmem_device_address(const IvshmemDevice *device);

/** The device's revision, 1 or more. */
IVSHMEM_API unsigned ivshmem_device_revision(const IvshmemDevice *device);

/**
 * This peer's ID, 0 to 65535.
 *
 * @return the ID, or -EOPNOTSUPP for an ivshmem-plain device, which has memory and no peers
 */
IVSHMEM_API int ivshmem_device_id(const IvshmemDevice *device);

/**
 * The shared memory, readable and writable, page-aligned, for as long as the device is open.
 *
 * On x86 the guest's kernel maps it uncached, so plain loads and stores keep their order, as in any
 * other memory; no stock kernel gives user space a cached mapping of a PCI device's memory. KVM on
 * Intel caches it all the same, unless told not to; KVM on AMD does not, and each access there goes
 * to memory: copy what you read more than once. Elsewhere use atomics or barriers, as between
 * threads.
 */
IVSHMEM_API void *ivshmem_device_memory(const IvshmemDevice *device);

/** The shared memory's size in bytes, a power of two. */
IVSHMEM_API size_t ivshmem_device_memory_size(const IvshmemDevice *device);

/** How many vectors the device has, 0 for ivshmem-plain. Other peers may have more or fewer. */
IVSHMEM_API unsigned ivshmem_device_n_vectors(const IvshmemDevice *device);

/** Whether doorbells that others ring can wake this peer. */
IVSHMEM_API bool ivshmem_device_has_interrupts(const IvshmemDevice *device);

/**
 * Rings a peer's doorbell, after everything that this thread has written to the memory before. To
 * ring a peer that is not there, or a vector that it lacks, does nothing and is no error: the
 * device does not tell.
 *
 * @param peer   its ID, 0 to 65535
 * @param vector 0 to 65535
 * @return 0, -EINVAL if a number is out of range, -EOPNOTSUPP for an ivshmem-plain device
 */
IVSHMEM_API int ivshmem_device_ring(IvshmemDevice *device, unsigned peer, unsigned vector);

/**
 * Waits for a doorbell on one of this peer's vectors, and takes it. The first wait on each vector
 * returns at once: what was rung earlier could not be counted, so look at the memory.
 *
 * @param timeout_ms milliseconds; 0 does not wait, negative waits for ever
 * @return 1 if it was rung (once or more), 0 if the time is up, -EINVAL if there is no such
 *         vector, -EOPNOTSUPP without interrupts, -EINTR if a signal came
 */
IVSHMEM_API int ivshmem_device_wait(IvshmemDevice *device, unsigned vector, int timeout_ms);

/**
 * Waits until the memory holds what the caller is looking for: looks, and looks again after each
 * doorbell on the vector. Without interrupts it looks again after a pause that grows from 50
 * microseconds to 1 millisecond, and any vector will do.
 *
 * @param look       says whether it is there; called in this thread, at least once
 * @param opaque     handed to look
 * @param timeout_ms milliseconds; 0 looks once, negative waits for ever
 * @return 1 if look said so, 0 if the time is up, -EINVAL if there is no such vector, -EINTR if a
 *         signal came
 */
IVSHMEM_API int ivshmem_device_wait_for(IvshmemDevice *device, unsigned vector,
                                        bool (*look)(void *opaque), void *opaque, int timeout_ms);

/**
 * The eventfd of a vector, for the caller's own event loop: readable when the vector has been
 * rung, and once before that. Non-blocking; it belongs to the device and must not be closed. Read
 * its eight bytes, or call ivshmem_device_wait() with a timeout of 0, to take the doorbell.
 *
 * @return the fd, -EINVAL if there is no such vector, -EOPNOTSUPP without interrupts
 */
IVSHMEM_API int ivshmem_device_vector_fd(const IvshmemDevice *device, unsigned vector);

/**
 * Gives a device to the kernel's vfio-pci driver, which must be loaded, so that it can be opened
 * with interrupts. Needs root. The kernel is told about this one device, not about its kind.
 *
 * @param which   as for ivshmem_device_open()
 * @param options may be NULL
 * @return 0, also if the driver has it already, or
 *         -EINVAL, -ENODEV  as for ivshmem_device_open()
 *         -EBUSY            it is open, or another driver has it
 *         -EOPNOTSUPP       it is behind no IOMMU, and vfio-pci does not take it
 *         -ENOENT           the driver is not loaded
 *         or what a system call said
 */
IVSHMEM_API int ivshmem_device_bind(const char *which, const IvshmemDeviceOptions *options);

/**
 * Takes a device back from vfio-pci and leaves it without a driver, as after boot. Needs root.
 *
 * @return 0, also if it has no driver, -EBUSY if a driver other than vfio-pci has it; otherwise
 *         as ivshmem_device_bind(). While some process has the device open, the kernel waits for
 *         that process to close it.
 */
IVSHMEM_API int ivshmem_device_unbind(const char *which, const IvshmemDeviceOptions *options);

#ifdef __cplusplus
}
#endif

#endif
