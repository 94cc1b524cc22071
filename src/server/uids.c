/* SPDX-License-Identifier: MIT */
#include "server/uids.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void uids_free(Uids *uids)
{
    free(uids->counts);
    *uids = (Uids){0};
}

static UidCount *find(const Uids *uids, uid_t uid)
{
    for (unsigned i = 0; i < uids->n; i++)
        if (uids->counts[i].uid == uid)
            return &uids->counts[i];
    return NULL;
}

unsigned uids_count(const Uids *uids, uid_t uid)
{
    const UidCount *count = find(uids, uid);

    return count ? count->n : 0;
}

int uids_add(Uids *uids, uid_t uid)
{
    UidCount *count = find(uids, uid);

    if (count) {
        count->n++;
        return 0;
    }
    if (uids->n == uids->n_allocated) {
        unsigned n = uids->n_allocated ? 2 * uids->n_allocated : 4;
        UidCount *more = reallocarray(uids->counts, n, sizeof(*more));

        if (!more)
            return -ENOMEM;
        uids->counts = more;
        uids->n_allocated = n;
    }
    uids->counts[uids->n++] = (UidCount){uid, 1};
    return 0;
}

void uids_remove(Uids *uids, uid_t uid)
{
    UidCount *count = find(uids, uid);

    assert(count && count->n > 0);
    if (--count->n == 0)
        *count = uids->counts[--uids->n];
}
