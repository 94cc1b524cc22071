/* SPDX-License-Identifier: MIT */
/* Text for a terminal. What a server says may be somebody else's words. */
#include "tools/ctl/ctl.h"
#include "util/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the terminal takes for a command: below a space, and in UTF-8 from U+0080 to U+009F. */
static size_t command_length(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    if (c[0] < ' ' || c[0] == 0x7f)
        return 1;
    return c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0 ? 2 : 0;
}

char *ctl_clean(char *text)
{
    for (char *c = text; *c; c++)
        memset(c, '?', command_length(c));
    return text;
}

void ctl_put(const char *text)
{
    _cleanup_free_ char *copy = text && *text ? strdup(text) : NULL;

    (void)fputs(copy ? ctl_clean(copy) : "-", stdout);
}

int ctl_error(const char *format, ...)
{
    _cleanup_free_ char *line = NULL;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vasprintf(&line, format, arguments);
    va_end(arguments);
    (void)fflush(stdout);
    (void)fprintf(stderr, PROGRAM ": %s\n", n < 0 ? "out of memory" : ctl_clean(line));
    if (n < 0)
        line = NULL;
    return EXIT_FAILURE;
}
