/* SPDX-License-Identifier: MIT */
/*
 * How a server becomes another process, without its clients' noticing: by two commands on the
 * control socket, and then, on the same connection, a protocol of its own:
 *
 *     successor                     predecessor
 *       query-manifest ---------->            says what it serves, and serves on
 *       (gives up what it will not need, and has a worker ready)
 *       take-over --------------->
 *       READY  ------------------->            serves nobody from here on
 *              <-------------------  a parcel of all descriptors (util/parcel.h)
 *       (copies the states)
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
#include "qmp/qmp.h"

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

/** What a successor has of its predecessor before it has taken over. */
typedef struct Succession {
    Qmp qmp;
    bool is_known; /* the manifest says what it serves, with its own numbers of descriptors */
} Succession;

#define SUCCESSION_NONE ((Succession){.qmp = QMP_NONE})

/**
 * The successor's part, while the predecessor serves on: daemon->manifest_fd is set, to what it
 * serves unless it is of a version that cannot tell.
 *
 * @param control  borrowed, for as long as the succession
 * @return 0 or a negative errno with the reason: the predecessor goes on; succession_free() is
 *         right in either case
 */
int succession_meet(Succession *succession, Daemon *daemon, const char *control, ErrorText *error);

/** The successor's part from there up to PREPARED: the manifest is its own then, and
 * daemon->predecessor_fd is set. @return 0 or a negative errno with the reason: the predecessor
 * goes on */
int succession_receive(Succession *succession, Daemon *daemon, ErrorText *error);

void succession_free(Succession *succession);

/** PREPARED, and waits for GO. @return 0 or a negative errno with the reason */
int succession_prepared(Daemon *daemon, ErrorText *error);

/** SERVING; daemon->predecessor_fd is closed. */
void succession_serving(Daemon *daemon);
