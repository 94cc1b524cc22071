/* SPDX-License-Identifier: MIT */
/* How many clients each user has. There are few users (a QEMU user or two), so they are looked for
 * one after the other. */
#pragma once

#include <sys/types.h>

typedef struct UidCount {
    uid_t uid;
    unsigned n;
} UidCount;

typedef struct Uids {
    UidCount *counts;
    unsigned n, n_allocated;
} Uids;

void uids_free(Uids *uids);

/** How many clients the user has. */
unsigned uids_count(const Uids *uids, uid_t uid);

/** One more. @return 0 or -ENOMEM */
int uids_add(Uids *uids, uid_t uid);

/** One less, of a user that has some. */
void uids_remove(Uids *uids, uid_t uid);
