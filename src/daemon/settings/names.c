/* SPDX-License-Identifier: MIT */
#include "daemon/settings/names.h"

#include "util/size.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NUMBER (UINT32_MAX - 1) /* (uid_t)-1 means "nobody in particular" */

typedef enum Kind {
    USER,
    GROUP,
} Kind;

/* What has been found, so that it is found again when libc cannot be asked any more. */
typedef struct Found {
    Kind kind;
    char *name;
    unsigned id;
} Found;

#define FOUND_MAX 4096

static Found *found;
static unsigned n_found;
static bool is_confined;

void names_confine(void)
{
    is_confined = true;
}

static const Found *recall(Kind kind, const char *name)
{
    for (unsigned i = 0; i < n_found; i++)
        if (found[i].kind == kind && strcmp(found[i].name, name) == 0)
            return &found[i];
    return NULL;
}

static void remember(Kind kind, const char *name, unsigned id)
{
    char *copy;
    Found *more;

    if (n_found == FOUND_MAX || recall(kind, name))
        return;
    copy = strdup(name);
    more = copy ? reallocarray(found, n_found + 1, sizeof(*more)) : NULL;
    if (!more) {
        free(copy);
        return;
    }
    found = more;
    found[n_found++] = (Found){kind, copy, id};
}

/* Why getpwnam and getgrnam found nothing: that there is nothing leaves errno at 0 or one of these.
 */
static int reason(void)
{
    return errno == 0 || errno == ESRCH || errno == EBADF || errno == EPERM ? -ENOENT : -errno;
}

static int ask_libc(Kind kind, const char *name, unsigned *id)
{
    const struct passwd *user;
    const struct group *group;

    errno = 0;
    if (kind == USER && (user = getpwnam(name)))
        *id = user->pw_uid;
    else if (kind == GROUP && (group = getgrnam(name)))
        *id = group->gr_gid;
    else
        return reason();
    return 0;
}

static bool next_entry(Kind kind, FILE *file, const char **name, unsigned *id)
{
    const struct passwd *user = kind == USER ? fgetpwent(file) : NULL;
    const struct group *group = kind == GROUP ? fgetgrent(file) : NULL;

    if (user)
        *name = user->pw_name, *id = user->pw_uid;
    if (group)
        *name = group->gr_name, *id = group->gr_gid;
    return user || group;
}

/* seccomp-change: openat open read close lseek fstat newfstatat */
static int search_file(Kind kind, const char *name, unsigned *id)
{
    FILE *file = fopen(kind == USER ? "/etc/passwd" : "/etc/group", "re");
    const char *entry;
    bool is_there = false;
    unsigned number = 0;

    if (!file)
        return -errno;
    while (!is_there && next_entry(kind, file, &entry, &number))
        is_there = strcmp(entry, name) == 0;
    (void)fclose(file);
    if (is_there)
        *id = number;
    return is_there ? 0 : -ENOENT;
}

static int find(Kind kind, const char *name, unsigned *out)
{
    const Found *known;
    uint64_t number;
    int r;

    if (count_parse(name, 0, MAX_NUMBER, &number) == 0) {
        *out = (unsigned)number;
        return 0;
    }
    r = is_confined ? search_file(kind, name, out) : ask_libc(kind, name, out);
    if (r == 0)
        remember(kind, name, *out);
    else if (is_confined && (known = recall(kind, name)))
        *out = known->id, r = 0;
    return r;
}

int names_find_user(const char *name, uid_t *out)
{
    return find(USER, name, out);
}

int names_find_group(const char *name, gid_t *out)
{
    return find(GROUP, name, out);
}

gid_t names_group_of(uid_t uid)
{
    const struct passwd *entry = getpwuid(uid);

    return entry ? entry->pw_gid : (gid_t)-1;
}
