/* SPDX-License-Identifier: MIT */
#include "daemon/process/drop.h"

#include "util/capability.h"
#include "util/cleanup.h"
#include "util/group.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Joins the groups that we are not in. Without the privilege nothing is lost: in the open stage,
 * too, we can give files to our own groups only. */
static int join_groups(const gid_t *groups, size_t n_groups, ErrorText *error)
{
    int n_own = n_groups && capability_is_effective(CAP_SETGID) ? getgroups(0, NULL) : -1;
    _cleanup_free_ gid_t *all = NULL;
    size_t n;

    if (n_own < 0)
        return 0;
    all = calloc((size_t)n_own + n_groups, sizeof(*all));
    if (!all || getgroups(n_own, all) != n_own)
        return error_set(error, -errno, "cannot tell which groups we are in: %s", strerror(errno));
    n = (size_t)n_own;
    for (size_t i = 0; i < n_groups; i++)
        if (!group_is_ours(groups[i]))
            all[n++] = groups[i];
    return n == (size_t)n_own || setgroups(n, all) == 0
               ? 0
               : error_set(error, -errno, "cannot join groups: %s", strerror(errno));
}

static int change_user(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, ErrorText *error)
{
    if (uid == (uid_t)-1 || (uid == getuid() && uid == geteuid() && gid == getegid()))
        return join_groups(groups, n_groups, error);
    if (setgroups(n_groups, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0)
        return error_set(error, -errno, "cannot become user %u, group %u: %s", (unsigned)uid,
                         (unsigned)gid, strerror(errno));
    return 0;
}

/* What exec could give back goes, too; that needs CAP_SETPCAP, without which there is little to
 * lose (PR_SET_NO_NEW_PRIVS keeps exec from giving anything). */
static void empty_bounding_set(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        (void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

static int drop_capabilities(ErrorText *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, none) < 0)
        return error_set(error, -errno, "cannot drop capabilities: %s", strerror(errno));
    return 0;
}

int drop_privileges(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, ErrorText *error)
{
    const struct rlimit none = {0, 0};
    int r;

    empty_bounding_set();
    if ((r = change_user(uid, gid, groups, n_groups, error)) < 0 ||
        (r = drop_capabilities(error)) < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &none) < 0)
        return error_set(error, -errno, "cannot give up privileges: %s", strerror(errno));
    return 0;
}
