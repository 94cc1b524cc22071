/* SPDX-License-Identifier: MIT */
/* Giving memory back. */
#pragma once

#include <stddef.h>

/**
 * Gives pages of a mapping back to the system; they read as zeros from now on. The mapping is a
 * private one of memory, or a shared one of a memfd. Does nothing, and leaves the contents, if the
 * range is not made up of whole pages: they are larger on some machines.
 */
void pages_release(void *from, size_t size);
