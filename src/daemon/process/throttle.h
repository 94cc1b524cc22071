/* SPDX-License-Identifier: MIT */
/*
 * Keeps lines of one cause from filling a log: whoever can cause a line can cause a million. A
 * cause is a line's text without numbers and what is in parentheses. Pure but for the caller's
 * clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_LINES  20                   /* of one cause */
#define THROTTLE_PERIOD INT64_C(10000000000) /* ns, in which so many are shown */
#define THROTTLE_CAUSES 64                   /* that are told apart; the oldest makes room */

typedef struct ThrottleCause {
    uint64_t hash;
    int64_t began; /* its period */
    unsigned n_shown, n_hidden;
} ThrottleCause;

typedef struct Throttle {
    ThrottleCause causes[THROTTLE_CAUSES];
} Throttle;

/**
 * Whether a line may be shown now.
 *
 * @param n_hidden  set to how many lines of its cause were not, since the last that was
 */
bool throttle_allows(Throttle *throttle, const char *region, const char *line, int64_t now,
                     unsigned *n_hidden);
