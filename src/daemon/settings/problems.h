/* SPDX-License-Identifier: MIT */
/*
 * A list of what is wrong, or could not be done: one line each. Some of it may be right on another
 * machine, and says so.
 */
#pragma once

#define PROBLEMS_MAX 200 /* lines that are kept; more are only counted */

typedef struct Problems {
    char **lines;
    unsigned n;      /* of all */
    unsigned n_here; /* of those that this machine has with it */
} Problems;

void problems_free(Problems *problems);

__attribute__((format(printf, 2, 3))) void problems_add(Problems *problems, const char *format,
                                                        ...);

/** Adds "PLACE: on this machine: ...". */
__attribute__((format(printf, 3, 4))) void problems_add_here(Problems *problems, const char *place,
                                                             const char *format, ...);

/** How many lines are kept. */
static inline unsigned problems_kept(const Problems *problems)
{
    return problems->n < PROBLEMS_MAX ? problems->n : PROBLEMS_MAX;
}
