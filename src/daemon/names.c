/* SPDX-License-Identifier: MIT */
#include "daemon/names.h"

#include "util/size.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

#define MAX_NUMBER (UINT32_MAX - 1) /* (uid_t)-1 means "nobody in particular" */

/* Why getpwnam and getgrnam found nothing: that there is nothing leaves errno at 0 or one of these.
 */
static int reason(void)
{
    return errno == 0 || errno == ESRCH || errno == EBADF || errno == EPERM ? -ENOENT : -errno;
}

int names_find_user(const char *name, uid_t *out)
{
    const struct passwd *entry;
    uint64_t number;

    if (count_parse(name, 0, MAX_NUMBER, &number) == 0) {
        *out = (uid_t)number;
        return 0;
    }
    errno = 0;
    entry = getpwnam(name);
    if (!entry)
        return reason();
    *out = entry->pw_uid;
    return 0;
}

int names_find_group(const char *name, gid_t *out)
{
    const struct group *entry;
    uint64_t number;

    if (count_parse(name, 0, MAX_NUMBER, &number) == 0) {
        *out = (gid_t)number;
        return 0;
    }
    errno = 0;
    entry = getgrnam(name);
    if (!entry)
        return reason();
    *out = entry->gr_gid;
    return 0;
}

gid_t names_group_of(uid_t uid)
{
    const struct passwd *entry = getpwuid(uid);

    return entry ? entry->pw_gid : (gid_t)-1;
}
