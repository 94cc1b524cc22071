/* SPDX-License-Identifier: MIT */
/* Which descriptors of this process are open. */
#pragma once

#include <stdint.h>

/**
 * Takes out of a set of numbers those that are no open descriptors.
 *
 * @param n  bits in the set
 * @return 0 or a negative errno
 */
int open_fds_keep(uint64_t *set, uint32_t n);
