/* SPDX-License-Identifier: MIT */
#include "faults.h"

#include "util/fdpass.h"
#include "util/sys.h"

#include <errno.h>

Faults faults = {.random = 1};
static SysCalls real;

/* xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators,
 * scrambled" */
uint32_t faults_random(uint32_t n)
{
    faults.random ^= faults.random >> 12;
    faults.random ^= faults.random << 25;
    faults.random ^= faults.random >> 27;
    return (uint32_t)((faults.random * UINT64_C(2685821657736338717) >> 32) % n);
}

static bool strikes(void)
{
    if (faults.one_in == 0 || faults_random(faults.one_in) != 0)
        return false;
    faults.injected++;
    return true;
}

static int fail_with_one_of(const int *errors, uint32_t n)
{
    errno = errors[faults_random(n)];
    return -1;
}

#define FAIL(...)                                                                                  \
    fail_with_one_of((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static int faulty_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    if (strikes()) {
        if (n > 1 && faults_random(2))
            return real.sendmmsg(fd, msgs, 1 + faults_random(n - 1), flags); /* a part of it */
        return FAIL(EAGAIN, EINTR, ETOOMANYREFS, ENOBUFS, ENOMEM);
    }
    return real.sendmmsg(fd, msgs, n, flags);
}

static int faulty_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return strikes() ? FAIL(EMFILE, ENFILE, ENOMEM, EINTR, ECONNABORTED, ENOBUFS)
                     : real.accept4(fd, addr, len, flags);
}

static int faulty_eventfd(unsigned initial, int flags)
{
    return strikes() ? FAIL(EMFILE, ENFILE, ENOMEM) : real.eventfd(initial, flags);
}

static int faulty_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    return strikes() ? FAIL(ENOMEM, ENOSPC) : real.epoll_ctl(epoll_fd, op, fd, event);
}

static int faulty_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
    return strikes() ? FAIL(EINTR) : real.epoll_wait(epoll_fd, events, max, timeout_ms);
}

void faults_install(void)
{
    real = sys;
    sys.sendmmsg = faulty_sendmmsg;
    sys.accept4 = faulty_accept4;
    sys.eventfd = faulty_eventfd;
    sys.epoll_ctl = faulty_epoll_ctl;
    sys.epoll_wait = faulty_epoll_wait;
}
