/* SPDX-License-Identifier: MIT */
/* What this process may use. */
#pragma once

#include <sys/resource.h>

/** As many descriptors as the system allows it, less some that are kept for later: the soft limit
 * is for programs that use select. */
static inline void limits_set_fds(rlim_t kept)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && kept < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max - kept;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static inline void limits_raise_fds(void)
{
    limits_set_fds(0);
}
