/* SPDX-License-Identifier: MIT */
/*
 * The model's own time: CLOCK_MONOTONIC and the one timerfd of a server, in the place of the
 * kernel's (by the linker's --wrap). It stands still until the model has it pass. So a run does not
 * depend on how fast the machine is: the same choices have the same effects.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** Begins anew, before a server starts. */
void clock_begin(void);

/** So many nanoseconds pass. What is due then has come when this returns. */
void clock_pass(int64_t ns);

/** Time passes until a timer comes. False if there is none. */
bool clock_pass_to_timer(void);
