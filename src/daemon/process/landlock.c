/* SPDX-License-Identifier: MIT */
/*
 * Landlock's rules follow the kernel's headers at build time and the kernel's version at run time:
 * what it does not know is left out. glibc 2.36 has no wrappers.
 */
#include "daemon/process/landlock.h"

#include "util/cleanup.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define READ   LANDLOCK_ACCESS_FS_READ_FILE
#define WRITE  LANDLOCK_ACCESS_FS_WRITE_FILE
#define REMOVE LANDLOCK_ACCESS_FS_REMOVE_FILE
#define LIST   LANDLOCK_ACCESS_FS_READ_DIR
#define MAKE                                                                                       \
    (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |    \
     LANDLOCK_ACCESS_FS_MAKE_DIR)

/* Everything that version 1 (Linux 5.13) can forbid: bits 0 (execute) to 12 (make symlinks). */
#define ALL_OF_VERSION_1 ((UINT64_C(1) << 13) - 1)

#ifdef LANDLOCK_ACCESS_FS_TRUNCATE /* version 3, Linux 6.2 */
#define TRUNCATE LANDLOCK_ACCESS_FS_TRUNCATE
#else
#define TRUNCATE (UINT64_C(1) << 14)
#endif
#define REFER (UINT64_C(1) << 13) /* version 2, Linux 5.19 */

static uint64_t handled(int version)
{
    uint64_t rights = ALL_OF_VERSION_1;

    if (version >= 2)
        rights |= REFER;
    if (version >= 3)
        rights |= TRUNCATE;
    return rights;
}

static int allow(int ruleset, long version, const SandboxPath *path)
{
    _cleanup_close_ int fd = open(path->path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {
        .allowed_access = (path->read ? READ : 0) | (path->write ? WRITE : 0) |
                          (path->remove ? REMOVE : 0) | (path->list ? LIST : 0) |
                          (path->make ? MAKE : 0),
        .parent_fd = fd,
    };
    struct stat found;

    if (fd < 0 || fstat(fd, &found) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (path->write && version >= 3)
        rule.allowed_access |= TRUNCATE;
    if (!S_ISDIR(found.st_mode))
        rule.allowed_access &= READ | WRITE | TRUNCATE; /* others are of folders only */
    if (rule.allowed_access == 0)
        return 0;
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? -errno
               : 0;
}

int landlock_enter(const SandboxPath *paths, size_t n_paths)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct landlock_ruleset_attr attributes = {.handled_access_fs = handled((int)version)};
    _cleanup_close_ int ruleset = -1;
    int r = 0;

    if (version < 1)
        return 0; /* not built in, or not enabled */
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (ruleset < 0)
        return -errno;
    for (size_t i = 0; r == 0 && i < n_paths; i++)
        r = allow(ruleset, version, &paths[i]);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -errno;
    return r;
}
