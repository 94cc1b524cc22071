/* SPDX-License-Identifier: MIT */
/* Signals as something to poll. */
#pragma once

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

/**
 * Blocks SIGINT, SIGTERM and `also` (0: no other).
 *
 * @return a descriptor that is readable once one of them has come, or a negative errno
 */
static inline int signals_open(int also)
{
    sigset_t set;
    int fd;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (also)
        (void)sigaddset(&set, also);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}
