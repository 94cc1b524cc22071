/* SPDX-License-Identifier: MIT */
/* The groups that this process is in. */
#pragma once

#include <stdbool.h>
#include <unistd.h>

/** Whether it is in a group, and so may give its files to it without a privilege. Whoever is in
 * more than 1024 is taken to be in his own alone. */
static inline bool group_is_ours(gid_t group)
{
    gid_t groups[1024];
    int n = getgroups(1024, groups);

    for (int i = 0; i < n; i++)
        if (groups[i] == group)
            return true;
    return group == getegid();
}
