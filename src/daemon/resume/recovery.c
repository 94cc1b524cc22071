/* SPDX-License-Identifier: MIT */
#include "daemon/resume/recovery.h"

#include "daemon/resume/record.h"
#include "daemon/resume/unfinished.h"
#include "util/bitmap.h"
#include "util/cleanup.h"
#include "util/open-fds.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

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

/* Descriptors are below: what the table has room for. 0: nobody knows. */
static uint32_t table_size(void)
{
    _cleanup_close_ int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    char status[4096]; /* the line is one of the first, and the whole is shorter */
    ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);
    const char *line;

    status[n < 0 ? 0 : n] = 0;
    line = strstr(status, "\nFDSize:");
    return line ? (uint32_t)strtoul(line + strlen("\nFDSize:"), NULL, 10) : 0;
}

static FdSet all_numbers(void)
{
    FdSet fds = {.n = table_size()};

    fds.set = fds.n ? calloc(BITMAP_WORDS(fds.n), sizeof(*fds.set)) : NULL;
    if (fds.set)
        bitmap_fill(fds.set, fds.n);
    return fds;
}

static int cannot_list(ErrorText *error)
{
    return error_set(error, -ENOMEM, "cannot list the open descriptors: %s", strerror(errno));
}

int recovery_prepare(Recovery *recovery, const Passed *passed, ErrorText *error)
{
    FdSet fds = all_numbers();

    *recovery = (Recovery){fds.set, fds.n};
    if (!fds.set || open_fds_keep(fds.set, fds.n) < 0)
        return cannot_list(error);
    for (unsigned i = 0; i < passed->n_parcels; i++)
        leave_out(&fds, passed->parcels[i].fd);
    return 0;
}

void recovery_free(Recovery *recovery)
{
    free(recovery->base);
    recovery->base = NULL;
}

/* No other kind of descriptor can be waited on like that. seccomp: epoll_wait epoll_pwait */
static bool is_epoll_set(int fd)
{
    struct epoll_event event;

    return epoll_wait(fd, &event, 1, 0) >= 0 || errno != EINVAL;
}

static void adopt_or_close(const Daemon *daemon, int fd)
{
    for (DaemonRegion *region = daemon->regions; region; region = region->next)
        if (ivshmem_server_adopt(&region->server, fd) == 0)
            return;
    unfinished_close(daemon, fd);
}

int recovery_sort_out(const Recovery *recovery, const Daemon *daemon, ErrorText *error)
{
    FdSet fds = all_numbers();
    uint32_t fd;

    if (!fds.set)
        return cannot_list(error);
    record_each_fd(daemon, leave_out, &fds);
    record_each_own_fd(daemon, leave_out, &fds);
    BITMAP_FOREACH(fd, recovery->base, recovery->n)
        leave_out(&fds, (int)fd);
    if (open_fds_keep(fds.set, fds.n) < 0) {
        free(fds.set);
        return cannot_list(error);
    }
    BITMAP_FOREACH(fd, fds.set, fds.n) {
        if (is_epoll_set((int)fd))
            continue;
        adopt_or_close(daemon, (int)fd);
        bitmap_clear(fds.set, fd);
    }
    for (DaemonRegion *region = daemon->regions; region; region = region->next)
        (void)ivshmem_server_dispatch(&region->server);
    /* A dead worker's, which has every client in it: newcomers need not wait for their end. */
    BITMAP_FOREACH(fd, fds.set, fds.n)
        fd_close((int)fd);
    free(fds.set);
    return 0;
}
