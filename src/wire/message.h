/* SPDX-License-Identifier: MIT */
/*
 * One message of the ivshmem protocol, version 0: a signed 64-bit little-endian integer, with at
 * most one file descriptor beside it (QEMU's docs/specs/ivshmem-spec.txt, "Client-Server
 * protocol"). Pure: nothing here does I/O.
 */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define WIRE_MESSAGE_SIZE     8    /* bytes */
#define WIRE_PROTOCOL_VERSION 0    /* the first message */
#define WIRE_MEMORY           (-1) /* the message that carries the shared memory's fd */
#define WIRE_MAX_ID           65535
#define WIRE_N_IDS            (WIRE_MAX_ID + 1)
#define WIRE_MAX_VECTORS      2048 /* PCI 3.0, 6.8.2: an MSI-X table has at most 2048 entries */

static inline void wire_encode(uint8_t bytes[static WIRE_MESSAGE_SIZE], int64_t value)
{
    uint64_t little = htole64((uint64_t)value);

    memcpy(bytes, &little, sizeof(little));
}

static inline int64_t wire_decode(const uint8_t bytes[static WIRE_MESSAGE_SIZE])
{
    uint64_t little;

    memcpy(&little, bytes, sizeof(little));
    return (int64_t)le64toh(little);
}
