/* SPDX-License-Identifier: MIT */
/* What the programs share that check a library by its header: one line each that is wrong. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

static int n_wrong;
static unsigned n_lines;

static inline void check(const char *what, long is, long wanted)
{
    if (is == wanted)
        return;
    printf("%s: %ld, not %ld\n", what, is, wanted);
    n_wrong++;
}

/* Takes the lines of a log; its opaque is &n_lines. */
static inline void count_line(void *opaque, int priority, const char *line)
{
    check("opaque", opaque == &n_lines, 1);
    check("a priority and a line", priority >= 0 && *line, 1);
    n_lines++;
}

#endif
