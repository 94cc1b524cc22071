/* SPDX-License-Identifier: MIT */
#include "daemon/control/find.h"

#include <errno.h>

int find_region(const Daemon *daemon, const json_t *arguments, DaemonRegion **out, ErrorText *error)
{
    const char *name = json_string_value(json_object_get(arguments, "region"));

    *out = name ? daemon_find_region(daemon, name) : NULL;
    return name && !*out ? error_set(error, -ENOENT, "there is no region '%.64s'", name) : 0;
}
