/* SPDX-License-Identifier: MIT */
#include "daemon/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#define PROGRAM "ivshmem-server"

static bool shows_steps;

void report_init(bool verbose)
{
    shows_steps = verbose;
}

void report_line(int priority, const char *region, const char *line)
{
    const char *colon = region ? ": " : "";

    region = region ? region : "";
    if (priority == LOG_ERR)
        return;
    if (priority < LOG_INFO)
        (void)fprintf(stderr, PROGRAM ": %s%s%s\n", region, colon, line);
    else if (shows_steps)
        (void)printf("%s%s%s\n", region, colon, line);
}

void report_error(const char *format, ...)
{
    va_list arguments;

    (void)fputs(PROGRAM ": ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}
