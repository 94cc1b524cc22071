/* SPDX-License-Identifier: MIT */
/*
 * The system calls whose failure a peer or a lack of resources can cause, in one table. The product
 * never changes it; tests put functions of theirs in, to make a call fail at a chosen moment.
 * Same meanings as the system's own: -1 and errno.
 */
#pragma once

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>

struct mmsghdr;

typedef struct SysCalls {
    ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);
    int (*sendmmsg)(int fd, struct mmsghdr *msgs, unsigned n, int flags);
    ssize_t (*recvmsg)(int fd, struct msghdr *msg, int flags);
    int (*accept4)(int fd, struct sockaddr *addr, socklen_t *len, int flags);
    int (*eventfd)(unsigned initial, int flags);
    int (*epoll_ctl)(int epoll_fd, int op, int fd, struct epoll_event *event);
    int (*epoll_wait)(int epoll_fd, struct epoll_event *events, int max, int timeout_ms);
    int (*ftruncate)(int fd, off_t size);
    int (*fallocate)(int fd, int mode, off_t offset, off_t len);
    void *(*mmap)(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
    int (*open)(const char *path, int flags);
    int (*ioctl)(int fd, unsigned long request, void *argument);
} SysCalls;

extern SysCalls sys;
