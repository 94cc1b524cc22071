/* SPDX-License-Identifier: MIT */
/* Users and groups by name or number. */
#pragma once

#include <sys/types.h>

/** @return 0, -ENOENT if there is none, or another negative errno; *out is untouched then */
int names_find_user(const char *name, uid_t *out);
int names_find_group(const char *name, gid_t *out);

/**
 * From now on, users and groups that have not been looked up yet are only found in /etc/passwd and
 * /etc/group: libc would load code and ask services, which a confined process cannot.
 */
void names_confine(void);

/** The primary group of a user: (gid_t)-1 if there is no such user. */
gid_t names_group_of(uid_t uid);
