/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/timerfd.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define BEGIN    (1000 * NS_PER_S) /* nothing is due long before that */
#define NEVER    INT64_MAX

int __real_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);

static int64_t now = BEGIN, due = NEVER;
static int timer = -1;

/* The kernel's timer for what is due, and none for what is not. It comes by an interrupt, for which
 * we wait. */
static void arm(void)
{
    const struct itimerspec at_once = {.it_value = {0, 1}}, none = {0};
    struct pollfd poll_fd = {timer, POLLIN, 0};
    bool is_due = due <= now;
    int r = __real_timerfd_settime(timer, TFD_TIMER_ABSTIME, is_due ? &at_once : &none, NULL);

    assert(r == 0);
    while (is_due && (r = poll(&poll_fd, 1, -1)) < 0 && errno == EINTR)
        ;
    assert(r >= 0);
}

void clock_begin(void)
{
    now = BEGIN;
    due = NEVER;
    timer = -1;
}

void clock_pass(int64_t ns)
{
    bool was_due = due <= now;

    now += ns;
    if (!was_due && due <= now)
        arm();
}

bool clock_pass_to_timer(void)
{
    if (due == NEVER)
        return false;
    clock_pass(due > now ? due - now : 0);
    return true;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
    if (id != CLOCK_MONOTONIC)
        return __real_clock_gettime(id, out);
    *out = (struct timespec){now / NS_PER_S, now % NS_PER_S};
    return 0;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before)
{
    assert((timer < 0 || timer == fd) && flags == TFD_TIMER_ABSTIME && !before);
    timer = fd;
    due = when->it_value.tv_sec * NS_PER_S + when->it_value.tv_nsec;
    if (due == 0)
        due = NEVER;
    arm();
    return 0;
}
