/* SPDX-License-Identifier: MIT */
#include "daemon/recovery.h"

#include "daemon/memory.h"
#include "util/bitmap.h"
#include "util/cleanup.h"

#include <dirent.h>
#include <string.h>

/* The descriptors of this process, as a set of n bits that the caller frees. */
static uint64_t *open_fds(uint32_t *n)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint64_t *set = NULL;

    *n = 0;
    while (dir && (entry = readdir(dir))) {
        uint32_t fd = (uint32_t)strtoul(entry->d_name, NULL, 10);

        if (entry->d_name[0] == '.' || fd == (uint32_t)dirfd(dir))
            continue;
        if (fd >= *n) {
            uint32_t more = (fd / 64 + 64) * 64;
            uint64_t *larger = reallocarray(set, more / 64, sizeof(*larger));

            if (!larger) {
                free(set);
                closedir(dir);
                return NULL;
            }
            memset(larger + *n / 64, 0, (more - *n) / 8);
            set = larger;
            *n = more;
        }
        bitmap_set(set, fd);
    }
    if (dir)
        closedir(dir);
    return set;
}

typedef struct FdSet {
    uint64_t *set;
    uint32_t n;
} FdSet;

static void leave_out(void *opaque, int fd)
{
    const FdSet *fds = opaque;

    if (fd >= 0 && (uint32_t)fd < fds->n)
        bitmap_clear(fds->set, (uint32_t)fd);
}

int recovery_prepare(Recovery *recovery, ErrorText *error)
{
    recovery->base = open_fds(&recovery->n);
    return recovery->base
               ? 0
               : error_set(error, -ENOMEM, "cannot list the open descriptors: %s", strerror(errno));
}

void recovery_free(Recovery *recovery)
{
    free(recovery->base);
    recovery->base = NULL;
}

static void adopt_or_close(const Daemon *daemon, int fd)
{
    for (DaemonRegion *region = daemon->regions; region; region = region->next)
        if (ivshmem_server_adopt(&region->server, fd) == 0)
            return;
    fd_close(fd);
}

/* seccomp: getdents64 */
int recovery_sort_out(const Recovery *recovery, const Daemon *daemon, ErrorText *error)
{
    FdSet fds;
    uint32_t fd;

    fds.set = open_fds(&fds.n);
    if (!fds.set)
        return error_set(error, -ENOMEM, "cannot list the open descriptors: %s", strerror(errno));
    daemon_each_fd(daemon, leave_out, &fds);
    daemon_each_own_fd(daemon, leave_out, &fds);
    BITMAP_FOREACH(fd, recovery->base, recovery->n)
        leave_out(&fds, (int)fd);
    BITMAP_FOREACH(fd, fds.set, fds.n)
        adopt_or_close(daemon, (int)fd);
    free(fds.set);
    for (DaemonRegion *region = daemon->regions; region; region = region->next)
        (void)ivshmem_server_dispatch(&region->server);
    return 0;
}
