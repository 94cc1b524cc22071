/* SPDX-License-Identifier: MIT */
/*
 * One memory range of a PCI device in this process: mapped, or, where the kernel cannot map it (it
 * shares its page with another range), read and written through the fd.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Bar {
    void *map; /* what munmap takes; NULL: not mapped */
    size_t map_size;
    uint8_t *at; /* the range itself in the mapping */
    size_t size; /* bytes of the range */
    int fd;      /* borrowed, for when it is not mapped */
    off_t base;  /* of the range in the fd */
} Bar;

/**
 * Maps a range, readable, writable and shared.
 *
 * @param fd   borrowed; the mapping outlives it
 * @param base where the mapping starts in the fd
 * @param skew bytes between the mapping's start and the range's
 * @param size of the range
 * @return 0 or a negative errno; *bar is untouched on failure
 */
int bar_map(Bar *bar, int fd, off_t base, size_t skew, uint64_t size);

/** Unmaps it and forgets the fd. A Bar that is all-zero is fine. */
void bar_unmap(Bar *bar);

/** Reads a 32-bit little-endian register. @return 0 or a negative errno */
int bar_read(const Bar *bar, unsigned offset, uint32_t *out);

/** Writes such a register of a range that is not mapped. @return as above */
int bar_write_through_fd(const Bar *bar, unsigned offset, uint32_t value);

static inline volatile uint32_t *bar_place(const Bar *bar, unsigned offset)
{
    return (volatile uint32_t *)(void *)(bar->at + offset);
}
