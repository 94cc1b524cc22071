/* SPDX-License-Identifier: MIT */
/*
 * How a server becomes another process, without its clients' noticing: by the command "take-over"
 * on the control socket, and then, on the same connection,
 *
 *     successor                     predecessor
 *       READY  ------------------->            serves nobody from here on
 *              <-------------------  a parcel of all descriptors (util/parcel.h)
 *       (copies the states, gives up what it does not need)
 *       PREPARED ----------------->
 *              <-------------------  GO        does nothing from here on but wait
 *       (a worker goes on)
 *       SERVING ------------------>            ends, and leaves everything as it is
 *
 * Until SERVING the predecessor has changed nothing, and the successor has only changed its copies.
 * If the connection ends before, the predecessor goes on. After GO it waits for that end without a
 * bound, for there must never be two that serve.
 */
#pragma once

#include "daemon/daemon.h"

/** What the two say to each other: a byte each. */
typedef enum SuccessionByte {
    SUCCESSION_READY = 'R',
    SUCCESSION_PREPARED = 'P',
    SUCCESSION_GO = 'G',
    SUCCESSION_SERVING = 'S',
} SuccessionByte;

/** Whether this process can be taken over from. @return 0 or a negative errno with the reason */
int succession_check(const Daemon *daemon, ErrorText *error);

/** The predecessor's part, after the command was answered. @param sock  the connection, borrowed
 * @return 0: the successor serves; a negative errno with the reason: this process goes on */
int succession_hand_over(Daemon *daemon, int sock, ErrorText *error);

/** The rest of the predecessor's part, from GO on, which need not have been said, in a worker that
 * finds it begun: daemon->successor_fd, which is closed if that fails. @return as
 * succession_hand_over() */
int succession_await(Daemon *daemon, ErrorText *error);

/** The successor's part, up to PREPARED: daemon->manifest_fd and daemon->predecessor_fd are set.
 * @return 0 or a negative errno with the reason: the predecessor goes on */
int succession_receive(Daemon *daemon, const char *control, ErrorText *error);

/** PREPARED, and waits for GO. @return 0 or a negative errno with the reason */
int succession_prepared(Daemon *daemon, ErrorText *error);

/** SERVING; daemon->predecessor_fd is closed. */
void succession_serving(Daemon *daemon);
