/* SPDX-License-Identifier: MIT */
#include "daemon/process/watchdog.h"

#include "daemon/process/notify.h"
#include "util/cleanup.h"
#include "util/deadline.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_S  INT64_C(1000000000)

static int64_t limit;         /* ns; 0: nobody asks for anything */
static _Atomic int64_t *beat; /* when the worker has said last that it lives; in shared memory */
static LoopHandler timer = {.fd = -1};

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ns / NS_PER_S, ns % NS_PER_S};
}

/* What sd_watchdog_enabled(3) says: the time is for the process that WATCHDOG_PID names, if it
 * names one. */
static int64_t wanted(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;
    long long us;

    if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    us = strtoll(usec, &end, 10);
    return *end || us < 1000 || us > INT64_MAX / NS_PER_US ? 0 : us * NS_PER_US;
}

int watchdog_open(void)
{
    limit = wanted();
    if (!limit)
        return 0;
    beat = mmap(NULL, sizeof(*beat), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (beat == MAP_FAILED)
        return -errno;
    timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    watchdog_begin();
    return timer.fd < 0 ? -errno : 0;
}

static void say(void *owner, uint32_t events)
{
    uint64_t n;

    (void)owner, (void)events;
    (void)!read(timer.fd, &n, sizeof(n));
    watchdog_begin();
    notify_tell("WATCHDOG=1");
}

/* seccomp: timerfd_settime */
int watchdog_attach(Loop *loop)
{
    const struct itimerspec twice = {timespec_of(limit / 2), timespec_of(limit / 2)};
    int r;

    if (!limit)
        return 0;
    timer = (LoopHandler){.fd = timer.fd, .ready = say};
    r = loop_add(loop, &timer, EPOLLIN);
    if (r == 0 && timerfd_settime(timer.fd, 0, &twice, NULL) < 0)
        r = -errno;
    if (r == 0)
        say(NULL, 0);
    return r;
}

void watchdog_begin(void)
{
    if (limit)
        atomic_store(beat, deadline_now());
}

const struct timespec *watchdog_wait(struct timespec *time)
{
    int64_t left;

    if (!limit)
        return NULL;
    left = atomic_load(beat) + limit / 4 * 3 - deadline_now();
    *time = timespec_of(left > 0 ? left : 0);
    return time;
}

bool watchdog_is_late(void)
{
    struct timespec left;

    return watchdog_wait(&left) && left.tv_sec == 0 && left.tv_nsec == 0;
}

const struct timespec *watchdog_stand_in(struct timespec *time)
{
    notify_tell("WATCHDOG=1");
    if (!limit)
        return NULL;
    *time = timespec_of(limit / 2);
    return time;
}
