/* SPDX-License-Identifier: MIT */
/* The region that a command is for. */
#pragma once

#include "daemon/daemon.h"

#include <jansson.h>

/**
 * The region that the argument "region" names.
 *
 * @param out  set to NULL if the argument is missing
 * @return 0, or -ENOENT with the reason
 */
int find_region(const Daemon *daemon, const json_t *arguments, DaemonRegion **out,
                ErrorText *error);

/** Walks a region, or all of them if it is NULL. */
#define FIND_FOREACH(region, daemon, only)                                                         \
    for ((region) = (only) ? (only) : (daemon)->regions; (region);                                 \
         (region) = (only) ? NULL : (region)->next)
