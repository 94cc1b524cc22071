/* SPDX-License-Identifier: MIT */
#include "server/timers.h"

#include "util/cleanup.h"

#include <errno.h>
#include <sys/timerfd.h>

#define NS_PER_S INT64_C(1000000000)

/* seccomp: timerfd_create */
int timers_new(Timers *timers)
{
    timers->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    for (int i = 0; i < N_TIMERS; i++)
        timers->due[i] = TIMER_NEVER;
    return timers->fd < 0 ? -errno : 0;
}

void timers_free(Timers *timers)
{
    timers->fd = fd_close(timers->fd);
}

/* Arms the timerfd for the earliest deadline, or disarms it. seccomp: timerfd_settime */
static void arm(Timers *timers)
{
    struct itimerspec when = {0};
    int64_t first = TIMER_NEVER;

    for (int i = 0; i < N_TIMERS; i++)
        if (timers->due[i] < first)
            first = timers->due[i];
    if (first != TIMER_NEVER)
        when.it_value = (struct timespec){first / NS_PER_S, first % NS_PER_S};
    (void)timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void timers_set(Timers *timers, TimerKind kind, int64_t due)
{
    if (timers->due[kind] <= due)
        return;
    timers->due[kind] = due;
    arm(timers);
}

void timers_clear(Timers *timers)
{
    for (int i = 0; i < N_TIMERS; i++)
        timers->due[i] = TIMER_NEVER;
    arm(timers);
}

unsigned timers_take(Timers *timers)
{
    int64_t now = deadline_now();
    unsigned passed = 0;

    for (int i = 0; i < N_TIMERS; i++) {
        if (timers->due[i] <= now) {
            timers->due[i] = TIMER_NEVER;
            passed |= 1u << i;
        }
    }
    arm(timers); /* which makes the fd unreadable, too */
    return passed;
}
