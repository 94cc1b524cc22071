/* SPDX-License-Identifier: MIT */
/*
 * What the daemon has to say: warnings and errors on standard error, steps on standard output, or
 * all of it in the journal where standard error leads there. Warnings of one cause are limited
 * (throttle.h).
 */
#pragma once

#include <stdbool.h>

/** @param verbose  steps are shown */
void report_init(bool verbose);

/**
 * A line of a region's server, with its priority of syslog(3). Its errors are not shown: they end
 * what was asked for, and whoever asked is told.
 *
 * @param region  whose it is; NULL: there is only one
 */
void report_line(int priority, const char *region, const char *line);

/** What went wrong, on standard error. */
__attribute__((format(printf, 1, 2))) void report_error(const char *format, ...);
