/* SPDX-License-Identifier: MIT */
/* Reads and writes that do not wait, on descriptors whose flags are shared with people who may be
 * hostile. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8 /* musl names it in <fcntl.h> only later */
#endif

/** Sets O_NONBLOCK if it is not set. An fd that has no flags, or none to set, is left as it is. */
static inline void nowait_restore(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && !(flags & O_NONBLOCK))
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/**
 * read(2) that gives EAGAIN where there is nothing, whether O_NONBLOCK is set or not. For what the
 * kernel cannot read so (old kernels, descriptors that are no eventfds), O_NONBLOCK is set before.
 * By system call: the wrapper is younger than some libcs.
 */
static inline ssize_t nowait_read(int fd, void *bytes, size_t n)
{
    struct iovec vector = {bytes, n};
    ssize_t got = syscall(SYS_preadv2, fd, &vector, 1UL, -1L, -1L, RWF_NOWAIT);

    if (got >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
        return got;
    nowait_restore(fd);
    return read(fd, bytes, n);
}
