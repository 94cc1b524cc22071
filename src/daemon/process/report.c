/* SPDX-License-Identifier: MIT */
#include "daemon/process/report.h"

#include "daemon/process/journal.h"
#include "daemon/process/throttle.h"
#include "util/deadline.h"
#include "util/error.h"
#include "util/log.h"

#include <stdio.h>

#define PROGRAM "ivshmem-server"

static bool shows_steps;
static bool has_journal;
static Throttle throttle;

void report_init(bool verbose)
{
    shows_steps = verbose;
    has_journal = journal_open();
}

static void show(int priority, const char *region, const char *line)
{
    const char *colon = region ? ": " : "";
    const char *name = region ? region : "";

    if (has_journal)
        journal_send(priority, region, line);
    else if (priority < LOG_INFO)
        (void)fprintf(stderr, PROGRAM ": %s%s%s\n", name, colon, line);
    else
        (void)printf("%s%s%s\n", name, colon, line);
}

/* Steps are shown to whoever asks for all of them. */
static void show_throttled(int priority, const char *region, const char *line)
{
    char longer[LOG_LINE_SIZE + 64];
    unsigned n_hidden;

    if (!throttle_allows(&throttle, region, line, deadline_now(), &n_hidden))
        return;
    if (n_hidden) {
        (void)snprintf(longer, sizeof(longer), "%s (and %u more like this, which were not shown)",
                       line, n_hidden);
        line = longer;
    }
    show(priority, region, line);
}

void report_line(int priority, const char *region, const char *line)
{
    if (priority == LOG_ERR)
        return;
    if (priority < LOG_INFO)
        show_throttled(priority, region, line);
    else if (shows_steps)
        show(priority, region, line);
}

void report_error(const char *format, ...)
{
    va_list arguments;
    ErrorText error;

    va_start(arguments, format);
    (void)vsnprintf(error.text, sizeof(error.text), format, arguments);
    va_end(arguments);
    if (has_journal)
        journal_send(LOG_ERR, NULL, error.text);
    else
        (void)fprintf(stderr, PROGRAM ": %s\n", error.text);
}
