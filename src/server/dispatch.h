/* SPDX-License-Identifier: MIT */
/* One turn of the loop: hang-ups, then accepts, then a bounded number of messages. Never waits. */
#pragma once

struct ServerCore;

/** @return 0 or a negative errno */
int dispatch_turn(struct ServerCore *core);

/** To be called after a change that was made between two turns: the next one comes at once if there
 * is something to send. */
void dispatch_wake(struct ServerCore *core);
