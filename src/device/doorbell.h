/* SPDX-License-Identifier: MIT */
/*
 * The way of a doorbell into a mapped device: one store, inline in whoever rings. A call is little
 * beside a doorbell that wakes somebody, but QEMU without hardware virtualisation takes as long for
 * a return as for ten of these instructions.
 */
#pragma once

#include <endian.h>
#include <stdatomic.h>
#include <stdint.h>

#include "ivshmem-device.h"

#define DOORBELL_MAX 0xffff /* peer and vector */

/** The doorbell register for as long as the device is open, or NULL if the device has none or the
 * kernel does not map it. */
volatile uint32_t *device_doorbell(const IvshmemDevice *device);

/**
 * Rings, after all earlier stores of this thread. x86 keeps stores in their order, those to
 * uncached memory too; elsewhere it takes a full barrier. The numbers have been checked.
 */
static inline void doorbell_store(volatile uint32_t *doorbell, unsigned peer, unsigned vector)
{
#if defined(__x86_64__) || defined(__i386__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
    *doorbell = htole32((uint32_t)peer << 16 | vector);
}
