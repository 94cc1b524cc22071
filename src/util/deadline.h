/* SPDX-License-Identifier: MIT */
/* Points in time by which something must have happened, on a clock that nobody sets. */
#pragma once

#include <limits.h>
#include <stdint.h>
#include <time.h>

#define DEADLINE_NEVER INT64_MAX

/** Nanoseconds of CLOCK_MONOTONIC. */
static inline int64_t deadline_now(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/** The time that is so many milliseconds from now; never, if negative. */
static inline int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? DEADLINE_NEVER : deadline_now() + (int64_t)timeout_ms * 1000000;
}

/** The milliseconds until then, rounded up, 0 if it is past, as poll(2) takes them (-1: never). */
static inline int deadline_left(int64_t deadline)
{
    int64_t left;

    if (deadline == DEADLINE_NEVER)
        return -1;
    left = deadline - deadline_now();
    if (left <= 0)
        return 0;
    left = (left + 999999) / 1000000;
    return left > INT_MAX ? INT_MAX : (int)left;
}
