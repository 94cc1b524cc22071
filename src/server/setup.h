/* SPDX-License-Identifier: MIT */
/* The limit on how long a client may leave its set-up unread (setup_timeout_ms). */
#pragma once

#include <stdint.h>

struct ServerCore;

/** The client is new. */
void setup_began(struct ServerCore *core, uint32_t slot);

/** TIMER_SETUP has come: disconnects who is late, and waits for the next. */
void setup_check(struct ServerCore *core);
