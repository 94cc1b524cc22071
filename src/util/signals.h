/* SPDX-License-Identifier: MIT */
/* Signals as something to poll. */
#pragma once

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

/** A descriptor that is readable once SIGINT or SIGTERM has come, from now on, or a negative errno.
 */
static inline int signals_open(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}
