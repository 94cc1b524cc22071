/* SPDX-License-Identifier: MIT */
/*
 * How a server becomes another process, without its clients' noticing: by two commands on the
 * control socket, and then, on the same connection, a protocol of its own:
 *
 *     successor                     predecessor
 *       query-manifest ---------->            says what it serves, and serves on
 *       (gives up what it will not need)
 *       take-over --------------->            serves on, until READY
 *       STATES ------------------>
 *              <-------------------  a parcel (util/parcel.h) of the regions' states
 *       MORE -------------------->
 *              <-------------------  a parcel of what some clients have: so until there are few
 *       (copies the states, and has a worker ready that has them mapped)
 *       READY  ------------------->            serves nobody from here on
 *              <-------------------  a parcel of all other descriptors
 *       (copies the states once more)
 *       PREPARED ----------------->
 *       (a worker comes up)
 *              <-------------------  GO        does nothing from here on but wait
 *       SERVING ------------------>            ends, and leaves everything as it is
 *
 * Until SERVING the predecessor has changed nothing but marks of what it has passed, and the
 * successor has only changed its copies. If the connection ends before, the predecessor goes on.
 * After GO it waits for that end without a bound, for there must never be two that serve.
 *
 * STATES and MORE are of use, not needed: the parcel that follows READY has what was not passed.
 */
#pragma once

#include "daemon/daemon.h"
#include "daemon/resume/inherit.h"
#include "qmp/qmp.h"

/** What the two say to each other: a byte each. */
typedef enum SuccessionByte {
    SUCCESSION_STATES = 'A',
    SUCCESSION_MORE = 'M',
    SUCCESSION_READY = 'R',
    SUCCESSION_PREPARED = 'P',
    SUCCESSION_GO = 'G',
    SUCCESSION_SERVING = 'S',
} SuccessionByte;

#define SUCCESSION_GOES_ON 1

/** Whether this process can be taken over from. @return 0 or a negative errno with the reason */
int succession_check(const Daemon *daemon, ErrorText *error);

/** The predecessor's part begins: nothing has been passed. */
void succession_begin(const Daemon *daemon);

/**
 * The predecessor's part, when there is something to read after the command was answered.
 *
 * @param sock  the connection, borrowed
 * @return 0: the successor serves; SUCCESSION_GOES_ON: this process serves on, and is to look
 * again; a negative errno with the reason: this process goes on, and the connection is of no more
 *         use
 */
int succession_hand_over(Daemon *daemon, int sock, ErrorText *error);

/** The rest of the predecessor's part, from PREPARED on, which need not have been said, also in a
 * worker that finds it begun: daemon->successor_fd, which is closed if that fails. @return as
 * succession_hand_over() */
int succession_await(Daemon *daemon, ErrorText *error);

/** What a successor has of its predecessor before it has taken over. */
typedef struct Succession {
    Qmp qmp;
    bool is_known;     /* the manifest says what it serves, with its own numbers of descriptors */
    bool passes_ahead; /* it has said so */
    int manifest;      /* its number there; -1: everything has not been asked for */
    Inheritance inheritance;
} Succession;

#define SUCCESSION_NONE ((Succession){.qmp = QMP_NONE, .manifest = -1})

/**
 * The successor's part, while the predecessor serves on: daemon->manifest_fd is set, to what it
 * serves unless it is of a version that cannot tell.
 *
 * @param control  borrowed, for as long as the succession
 * @return 0 or a negative errno with the reason: the predecessor goes on; succession_free() is
 *         right in either case
 */
int succession_meet(Succession *succession, Daemon *daemon, const char *control, ErrorText *error);

/** The successor's part from there up to READY, while the predecessor serves on:
 * daemon->manifest_fd names the copies of the states. @return as succession_meet() */
int succession_look_ahead(Succession *succession, const Daemon *daemon, ErrorText *error);

/** The successor's part from there, or from succession_meet(), up to PREPARED: the manifest is its
 * own then, and daemon->predecessor_fd is set. @return 0 or a negative errno with the reason: the
 * predecessor goes on */
int succession_receive(Succession *succession, Daemon *daemon, ErrorText *error);

void succession_free(Succession *succession);

/** PREPARED. @return 0 or a negative errno with the reason */
int succession_prepared(const Daemon *daemon, ErrorText *error);

/** Waits for GO: in the process that was started and in its worker. @return 0 or a negative errno
 * with the reason: the predecessor goes on */
int succession_may_serve(const Daemon *daemon, ErrorText *error);

/** SERVING. */
void succession_serving(Daemon *daemon);

/** Then daemon->predecessor_fd is closed. */
void succession_end(Daemon *daemon);
