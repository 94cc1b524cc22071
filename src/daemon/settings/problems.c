/* SPDX-License-Identifier: MIT */
#include "daemon/settings/problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void problems_free(Problems *problems)
{
    for (unsigned i = 0; i < problems_kept(problems); i++)
        free(problems->lines[i]);
    free(problems->lines);
    *problems = (Problems){0};
}

/* Keeps a line, which may be NULL for want of memory. */
static void add(Problems *problems, char *line)
{
    if (!problems->lines)
        problems->lines = calloc(PROBLEMS_MAX, sizeof(*problems->lines));
    if (problems->lines && problems->n < PROBLEMS_MAX)
        problems->lines[problems->n] = line;
    else
        free(line);
    problems->n++;
}

void problems_add(Problems *problems, const char *format, ...)
{
    va_list arguments;
    char *line = NULL;

    va_start(arguments, format);
    if (vasprintf(&line, format, arguments) < 0)
        line = NULL;
    va_end(arguments);
    add(problems, line);
}

void problems_add_here(Problems *problems, const char *place, const char *format, ...)
{
    char *what = NULL, *line = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&what, format, arguments) < 0)
        what = NULL;
    va_end(arguments);
    if (what && asprintf(&line, "%s: on this machine: %s", place, what) < 0)
        line = NULL;
    free(what);
    add(problems, line);
    problems->n_here++;
}
