/* SPDX-License-Identifier: MIT */
/*
 * The stage "drop": giving up privileges, when everything that needs them is open.
 *
 * It should leave a process of the chosen user and group, with no supplementary groups but those
 * that were asked for, no capabilities now or ever, no way to gain privileges by exec, no core
 * dumps, and nobody of the same user able to trace it. It must not close or change anything that
 * the server uses.
 */
#pragma once

#include "util/error.h"

#include <stddef.h>
#include <sys/types.h>

/**
 * Gives them up, for good.
 *
 * @param uid,gid  (uid_t)-1, (gid_t)-1: stay who we are
 * @param groups   to be in besides, so that files can be given to them later; whoever stays who he
 *                 is stays in his own, too, and without the privilege in none but those
 * @return 0 or a negative errno with the reason
 */
int drop_privileges(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, ErrorText *error);
