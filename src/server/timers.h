/* SPDX-License-Identifier: MIT */
/*
 * Deadlines on one timerfd, which is armed only while there is one: a server with nothing to wait
 * for is never woken.
 */
#pragma once

#include "util/deadline.h"

#include <stdint.h>

typedef enum TimerKind {
    TIMER_RETRY,  /* sends that failed for a lack of resources */
    TIMER_ACCEPT, /* accepts that were put off */
    TIMER_SETUP,  /* clients that do not read their set-up */
    TIMER_LINGER, /* connections that have ended with something unread */
    N_TIMERS,
} TimerKind;

#define TIMER_NEVER INT64_MAX

typedef struct Timers {
    int fd;
    int64_t due[N_TIMERS]; /* CLOCK_MONOTONIC, ns; TIMER_NEVER: not set */
} Timers;

/** @return 0 or a negative errno */
int timers_new(Timers *timers);
void timers_free(Timers *timers);

/** Sets a deadline, unless an earlier one of the kind is set. */
void timers_set(Timers *timers, TimerKind kind, int64_t due);

/** No deadline is set any more. */
void timers_clear(Timers *timers);

/** To be called when the fd is readable: takes the deadlines that have passed, a bit per kind. */
unsigned timers_take(Timers *timers);
