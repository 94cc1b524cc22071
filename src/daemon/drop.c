/* SPDX-License-Identifier: MIT */
#include "daemon/drop.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int change_user(uid_t uid, gid_t gid, ErrorText *error)
{
    if (uid == (uid_t)-1 || (uid == getuid() && uid == geteuid() && gid == getegid()))
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
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

static int drop_capabilities(bool keep_chown, ErrorText *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0},
                                  has[_LINUX_CAPABILITY_U32S_3];

    if (keep_chown && syscall(SYS_capget, &header, has) == 0)
        none[0].effective = none[0].permitted = has[0].permitted & 1U << CAP_CHOWN;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, none) < 0)
        return error_set(error, -errno, "cannot drop capabilities: %s", strerror(errno));
    return 0;
}

int drop_privileges(uid_t uid, gid_t gid, bool keep_chown, ErrorText *error)
{
    const struct rlimit none = {0, 0};
    int r;

    empty_bounding_set();
    if ((r = change_user(uid, gid, error)) < 0 || (r = drop_capabilities(keep_chown, error)) < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &none) < 0)
        return error_set(error, -errno, "cannot give up privileges: %s", strerror(errno));
    return 0;
}
