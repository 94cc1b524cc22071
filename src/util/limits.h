/* SPDX-License-Identifier: MIT */
/* What this process may use. */
#pragma once

#include <sys/resource.h>

/** As many descriptors as the system allows it: the soft limit is for programs that use select. */
static inline void limits_raise_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}
