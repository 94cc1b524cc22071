/* SPDX-License-Identifier: MIT */
#include "daemon/recovery.h"

#include "util/bitmap.h"
#include "util/cleanup.h"

#include <dirent.h>
#include <string.h>
#include <sys/epoll.h>

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

int recovery_prepare(Recovery *recovery, const Daemon *daemon, ErrorText *error)
{
    FdSet fds;

    fds.set = recovery->base = open_fds(&recovery->n);
    fds.n = recovery->n;
    if (!fds.set)
        return error_set(error, -ENOMEM, "cannot list the open descriptors: %s", strerror(errno));
    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        ivshmem_server_each_fd(&region->server, leave_out, &fds);
    return 0;
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

/* What is neither the process's nor a server's is what a dead worker was about to use.
 * seccomp: getdents64 epoll_create1 */
static int sort_out(const Recovery *recovery, const Daemon *daemon)
{
    FdSet fds;
    uint32_t fd;

    fds.set = open_fds(&fds.n);
    if (!fds.set)
        return -ENOMEM;
    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        ivshmem_server_each_fd(&region->server, leave_out, &fds);
    BITMAP_FOREACH(fd, recovery->base, recovery->n)
        leave_out(&fds, (int)fd);
    leave_out(&fds, daemon->loop.epoll_fd);
    BITMAP_FOREACH(fd, fds.set, fds.n)
        adopt_or_close(daemon, (int)fd);
    free(fds.set);
    return 0;
}

/* Handlers are told apart by their addresses, which are those of a process that has gone: the loop
 * is made anew. */
static int renew_loop(Daemon *daemon)
{
    int r;

    loop_free(&daemon->loop);
    r = loop_init(&daemon->loop);
    for (DaemonRegion *region = daemon->regions; r == 0 && region; region = region->next)
        r = loop_add(&daemon->loop, &region->handler, EPOLLIN);
    if (r == 0 && daemon->control.socket.fd >= 0)
        r = loop_add(&daemon->loop, &daemon->control.handler, EPOLLIN);
    return r;
}

int recovery_go_on(const Recovery *recovery, Daemon *daemon, ErrorText *error)
{
    int r;

    for (DaemonRegion *region = daemon->regions; region; region = region->next) {
        r = ivshmem_server_recover(&region->server);
        if (r < 0)
            return error_set(error, r, "%s", ivshmem_server_error(&region->server));
    }
    r = renew_loop(daemon);
    if (r == 0)
        r = sort_out(recovery, daemon);
    if (r < 0)
        return error_set(error, r, "cannot go on: %s", strerror(-r));
    for (DaemonRegion *region = daemon->regions; region; region = region->next)
        (void)ivshmem_server_dispatch(&region->server);
    return 0;
}
