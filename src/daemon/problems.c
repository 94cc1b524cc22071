/* SPDX-License-Identifier: MIT */
#include "daemon/problems.h"

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

void problems_add(Problems *problems, const char *format, ...)
{
    va_list arguments;
    char *line = NULL;

    if (!problems->lines)
        problems->lines = calloc(PROBLEMS_MAX, sizeof(*problems->lines));
    if (!problems->lines || problems->n++ >= PROBLEMS_MAX)
        return;
    va_start(arguments, format);
    if (vasprintf(&line, format, arguments) < 0)
        line = NULL;
    va_end(arguments);
    problems->lines[problems->n - 1] = line;
}
