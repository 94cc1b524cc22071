/* SPDX-License-Identifier: MIT */
/* Numbers of things in texts: "1 client", "0 clients". */
#pragma once

#include <stdint.h>

/** What the word for a thing ends in if there are so many. */
static inline const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}
