/* SPDX-License-Identifier: MIT */
/* Users and groups by name or number. They are looked up before the process is confined. */
#pragma once

#include <sys/types.h>

/** @return 0, -ENOENT if there is none, or another negative errno; *out is untouched then */
int names_find_user(const char *name, uid_t *out);
int names_find_group(const char *name, gid_t *out);

/** The primary group of a user: (gid_t)-1 if there is no such user. */
gid_t names_group_of(uid_t uid);
