/* SPDX-License-Identifier: MIT */
/* A list of what is wrong, or could not be done: one line each. */
#pragma once

#define PROBLEMS_MAX 200 /* lines that are kept; more are only counted */

typedef struct Problems {
    char **lines;
    unsigned n; /* of all */
} Problems;

void problems_free(Problems *problems);

__attribute__((format(printf, 2, 3))) void problems_add(Problems *problems, const char *format,
                                                        ...);

/** How many lines are kept. */
static inline unsigned problems_kept(const Problems *problems)
{
    return problems->n < PROBLEMS_MAX ? problems->n : PROBLEMS_MAX;
}
