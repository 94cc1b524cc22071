/* SPDX-License-Identifier: MIT */
/* A newcomer, and how long it waits. */
#pragma once

#include <stdint.h>

/** Connects and reads the three first messages. @param took  the time from connect() to the memory,
 * in ns @return the socket, or -1 if the connection has ended before */
int newcomer_come(const char *path, int64_t *took);

/** Prints "NAME": {"p50": ..., "p99": ..., "max": ...}, in ns. Sorts the samples. */
void newcomer_print(const char *name, int64_t *samples, unsigned n);
