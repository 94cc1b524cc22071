/* SPDX-License-Identifier: MIT */
#include "util/sys.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* glibc and musl disagree on the types of some of these (flags as int or unsigned), hence the
 * wraps. */

static int real_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    return sendmmsg(fd, msgs, n, flags);
}

static int real_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return accept4(fd, addr, len, flags);
}

static int real_eventfd(unsigned initial, int flags)
{
    return eventfd(initial, flags);
}

static int real_open(const char *path, int flags)
{
    return open(path, flags);
}

static int real_ioctl(int fd, unsigned long request, void *argument)
{
    return ioctl(fd, request, argument);
}

SysCalls sys = {
    .sendmsg = sendmsg,
    .sendmmsg = real_sendmmsg,
    .recvmsg = recvmsg,
    .accept4 = real_accept4,
    .eventfd = real_eventfd,
    .epoll_ctl = epoll_ctl,
    .epoll_wait = epoll_wait,
    .ftruncate = ftruncate,
    .fallocate = fallocate,
    .mmap = mmap,
    .open = real_open,
    .ioctl = real_ioctl,
};
