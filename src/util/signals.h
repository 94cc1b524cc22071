/* SPDX-License-Identifier: MIT */
/* Signals as something to poll. */
#pragma once

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

/** A descriptor that is readable once SIGINT, SIGTERM or `also` (0: no other) has come, from now
 * on, or a negative errno. */
static inline int signals_open(int also)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (also)
        (void)sigaddset(&set, also);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}
