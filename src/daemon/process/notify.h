/* SPDX-License-Identifier: MIT */
/*
 * Notification of the service manager (sd_notify(3), whose protocol is stable): lines over one
 * datagram socket, which is connected before the process confines itself, so that telling needs no
 * more than a send.
 *
 * The manager's queue is short. In the loop nothing waits for it: what does not fit is sent when
 * the socket takes it, in order. Elsewhere it is lost.
 */
#pragma once

#include "daemon/process/loop.h"

/** Connects to the manager that NOTIFY_SOCKET names. Without one, nothing here does anything. */
void notify_open(void);

/** The worker's: from here on its loop sends what the queue does not take. @return 0 or a negative
 * errno */
int notify_attach(Loop *loop);

/** Tells the manager lines such as "READY=1\nSTATUS=...". Never waits. */
void notify_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** The connected socket, or -1. It stays ours. */
int notify_fd(void);
