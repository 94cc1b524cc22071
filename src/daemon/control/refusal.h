/* SPDX-License-Identifier: MIT */
/* The names of the reasons for which clients are turned away. */
#pragma once

#include "ivshmem-server.h"

/** What a reason is called in statistics and events. */
static inline const char *refusal_name(IvshmemServerRefusal reason)
{
    static const char *const names[] = {
        [IVSHMEM_SERVER_REFUSED_NO_FD] = "no-fd",
        [IVSHMEM_SERVER_REFUSED_NO_MEMORY] = "no-memory",
        [IVSHMEM_SERVER_REFUSED_UID_LIMIT] = "user-limit",
        [IVSHMEM_SERVER_REFUSED_NO_ID] = "no-id",
        [IVSHMEM_SERVER_REFUSED_POLICY] = "policy",
        [IVSHMEM_SERVER_REFUSED_READ_ONLY] = "read-only",
        [IVSHMEM_SERVER_REFUSED_RESERVED] = "reserved",
    };

    _Static_assert(sizeof(names) / sizeof(names[0]) == IVSHMEM_SERVER_N_REFUSALS, "a name each");
    return names[reason];
}
