/* SPDX-License-Identifier: MIT */
/* Giving memory back, and asking for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/**
 * Gives pages of a mapping back to the system; they read as zeros from now on. The mapping is a
 * private one of memory, or a shared one of a memfd. Does nothing, and leaves the contents, if the
 * range is not made up of whole pages: they are larger on some machines.
 */
void pages_release(void *from, size_t size);

/**
 * Has the kernel map all pages of the range by one call, where touching one after the other would
 * be a fault for each. A hole of a memfd is filled by that. Does nothing on Linux before 5.14.
 */
void pages_fetch(const void *from, size_t size);

/** The same for a range that is to be written to. */
void pages_make(void *from, size_t size);

/** The same, and reads a byte of each, for a process that has time: it lets others have the
 * processor in between. Where the machine is a virtual one, what the kernel has mapped can still be
 * a fault of its host's to the first who touches it.
 *
 * @param stop  asked in between, whether that is enough; NULL: it never is
 * @return false if it was
 */
bool pages_touch(void *from, size_t size, bool (*stop)(void));
