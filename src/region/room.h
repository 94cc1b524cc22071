/* SPDX-License-Identifier: MIT */
/* Whether there is room for a memory, as far as the kernel tells before it is reserved. */
#pragma once

#include "region/region.h"

/** Bytes that can be used without swapping, or UINT64_MAX if the kernel does not tell. */
uint64_t room_available_memory(void);

/**
 * Looks for room in the file system of a descriptor.
 *
 * @param taken  by those that were looked at before, if all are to be there at once: what this one
 * reserves is added
 * @param what  the memory is called so in the text of an error
 * @return 0, or a negative errno with the reason
 */
int room_check(int fd, const RegionSpec *spec, const char *what, RoomTaken *taken,
               ErrorText *error);
