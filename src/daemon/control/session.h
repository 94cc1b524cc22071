/* SPDX-License-Identifier: MIT */
/*
 * A connection to the control socket: QMP's greeting and negotiation, commands, answers, events.
 *
 * It disturbs nobody: it never waits, takes no further command while much of its answers is unread,
 * does one in a turn of the loop (all sessions together: the regions are served in between) and one
 * in a round of all sessions that have some, drops events that do not fit (and says how many), and
 * is disconnected when a command is too long or too many events were dropped.
 */
#pragma once

#include "daemon/control/framer.h"
#include "daemon/process/loop.h"

#include <jansson.h>
#include <sys/types.h>

#define SESSION_MAX_REQUEST (64U << 10)  /* bytes of a command */
#define SESSION_MAX_UNREAD  (256U << 10) /* bytes: above, no command is taken, no event is sent */
#define SESSION_MAX_DROPPED 10000U       /* events, before the connection is ended */

struct Control;

typedef struct Session Session;

struct Session {
    struct Control *control;
    Session *next;
    Session **previous_next;
    LoopHandler handler;
    uint64_t round; /* in which it has done a command last */
    Framer framer;
    char *in;
    size_t in_used, in_size;
    char *out;
    size_t out_sent, out_used, out_size;
    unsigned n_dropped; /* events, since the last that fitted */
    bool may_change;    /* it is root's or our user's: not only queries */
    bool is_negotiated; /* commands are taken, events are sent */
    bool has_ended;     /* nothing more will come: what is there is answered */
    bool is_closing;    /* once everything is sent */
    bool is_leaving;    /* then it is handed everything, and what follows is another protocol */
    pid_t pid;
    uid_t uid;
};

/**
 * Greets whoever has connected, or turns him away if there is no room.
 *
 * @param sock  taken over, also if there is an error
 * @return 0 or a negative errno
 */
int session_open(struct Control *control, int sock);

/** Ends it; it is destroyed after the batch of events. */
void session_close(Session *session);

/** Sends an event to a session that has negotiated and is neither closing nor leaving, or drops it.
 */
void session_send_event(Session *session, const char *line, size_t length);
