/* SPDX-License-Identifier: MIT */
#include "daemon/settings/policy.h"

bool policy_add(PolicyList *list, unsigned id)
{
    if (list->n == POLICY_MAX)
        return false;
    list->ids[list->n++] = id;
    return true;
}

bool policy_is_set(const Policy *policy)
{
    return policy->users.n || policy->groups.n || policy->read_only.n;
}

static bool contains(const PolicyList *list, unsigned id)
{
    for (unsigned i = 0; i < list->n; i++)
        if (list->ids[i] == id)
            return true;
    return false;
}

static bool is_in_group(const PolicyList *groups, const IvshmemServerCredentials *who)
{
    if (contains(groups, who->gid))
        return true;
    for (size_t i = 0; i < who->n_groups; i++)
        if (contains(groups, who->groups[i]))
            return true;
    return false;
}

IvshmemServerAdmission policy_judge(const Policy *policy, const IvshmemServerCredentials *who)
{
    if (!policy_is_set(policy))
        return IVSHMEM_SERVER_ADMIT;
    if (contains(&policy->read_only, who->uid))
        return IVSHMEM_SERVER_ADMIT_READ_ONLY;
    if (contains(&policy->users, who->uid) || is_in_group(&policy->groups, who))
        return IVSHMEM_SERVER_ADMIT;
    return IVSHMEM_SERVER_REFUSE;
}
