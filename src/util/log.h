/* SPDX-License-Identifier: MIT */
/*
 * Where a library's log lines go: the caller's callback, if there is one, and nowhere otherwise.
 * Priorities are syslog(3)'s (LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG).
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <syslog.h>

#define LOG_LINE_SIZE 512 /* bytes, a longer line is cut */

typedef struct LogSink {
    void (*line)(void *opaque, int priority, const char *line); /* NULL: nobody listens */
    void *opaque;
} LogSink;

/** One line, without a newline at its end. */
__attribute__((format(printf, 3, 4))) static inline void log_line(const LogSink *sink, int priority,
                                                                  const char *format, ...)
{
    char line[LOG_LINE_SIZE];
    va_list arguments;

    if (!sink->line)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    sink->line(sink->opaque, priority, line);
}
