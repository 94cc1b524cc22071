/* SPDX-License-Identifier: MIT */
/*
 * The stage "drop": giving up privileges, when everything that needs them is open.
 *
 * It should leave a process of the chosen user and group, with no supplementary groups if it
 * changes them, no capabilities now or ever (but one, see below), no way to gain privileges by
 * exec, no core dumps, and nobody of the same user able to trace it. It must not close or change
 * anything that the server uses.
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <sys/types.h>

/**
 * @param keep_chown  keep CAP_CHOWN if we stay root: sockets that are made later may have owners.
 *
 * @param uid,gid  (uid_t)-1, (gid_t)-1: stay who we are
 * @return 0 or a negative errno
 */
int drop_privileges(uid_t uid, gid_t gid, bool keep_chown, ErrorText *error);
