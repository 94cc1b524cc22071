/* SPDX-License-Identifier: MIT */
/*
 * The control socket: QMP's form, so that QEMU's tools work. Who may connect is a matter of the
 * socket's mode; who may change anything, of the user.
 */
#pragma once

#include "daemon/control/session.h"
#include "daemon/process/loop.h"
#include "server/listen-socket.h"
#include "util/error.h"

#include <jansson.h>

#define CONTROL_MAX_SESSIONS 128
#define CONTROL_KEPT         8 /* of them for those who may change something */

struct Daemon;

typedef struct Control {
    struct Daemon *daemon;
    ListenSocket socket;
    LoopHandler handler;
    Session *sessions;
    unsigned n_sessions;
    unsigned n_queriers; /* of them of those who may only query */
    uint64_t busy_turn;  /* the loop's, in which a command was done last */
    uint64_t round;      /* in which each session may do one */
    bool hands_over;     /* a session has been told that it gets everything */
    int reserve_fd;      /* given up for a moment to refuse a connection */
} Control;

#define CONTROL_NONE ((Control){.socket = {.fd = -1, .lock_fd = -1}, .reserve_fd = -1})

/** What is to be listened at. */
typedef struct ControlSpec {
    const char *path;
    gid_t gid; /* (gid_t)-1: nobody but the owner may connect */
    uid_t uid; /* the owner; (uid_t)-1: we */
} ControlSpec;

/** Opens the socket. @return 0 or a negative errno with the reason */
int control_open(Control *control, struct Daemon *daemon, const ControlSpec *spec,
                 ErrorText *error);

/** Goes on with a socket that another process has opened. @return 0 or a negative errno with the
 * reason */
int control_resume(Control *control, struct Daemon *daemon, const ListenSocket *socket,
                   ErrorText *error);

/** Lets go of it before anybody has connected: others go on with the socket. */
void control_abandon(Control *control);

/** Ends all sessions and removes the socket. Takes one that is not open. */
void control_close(Control *control);

/** Whether there is a place for one more. */
bool control_has_room(const Control *control, bool may_change);

/** Says to a connection that there is none, as far as that is possible at once. */
void control_refuse(int sock);

/** A session has been opened, or is closed. */
void control_attach(Control *control, Session *session);
void control_detach(Control *control, Session *session);

/** Whether anybody hears events. */
bool control_is_heard(const Control *control);

/** Sends an event to whoever has negotiated. Takes `data` over. */
void control_tell(Control *control, const char *event, json_t *data);
