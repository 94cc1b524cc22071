/* SPDX-License-Identifier: MIT */
/*
 * A connection to a control socket: one command at a time, and events. What fails leaves a text in
 * `error`, one line that says what, which and why; nothing is shown.
 *
 * A program with a loop of its own connects without waiting, sends, and at each time that `fd` is
 * readable calls qmp_read() and then qmp_take() until it gives nothing.
 */
#pragma once

#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define QMP_MAX_MESSAGE  (64U << 20) /* bytes; a server that sends more is none of ours */
#define QMP_DEFAULT_PATH "/run/ivshmem/control"

typedef struct Qmp {
    int fd;
    const char *path; /* borrowed */
    int timeout_ms;   /* for each wait; 0: there is none */
    char *buffer;
    size_t used, size;
    size_t looked; /* bytes at the front that are known to have no end of a line */
    ErrorText error;
} Qmp;

#define QMP_NONE ((Qmp){.fd = -1})

/**
 * Connects.
 *
 * @param timeout_ms  for connecting, for sending, and for each answer; 0: nothing ever waits, and
 *                    what would have to fails
 * @return 0 or -1; qmp_close() is right in either case
 */
int qmp_connect(Qmp *qmp, const char *path, int timeout_ms);

/** Connects and negotiates, waiting at most so long for each step. @return 0 or -1 */
int qmp_open(Qmp *qmp, const char *path, int timeout_ms);

/** Takes one that is closed, too. */
void qmp_close(Qmp *qmp);

/**
 * Sends a command; its answer comes later.
 *
 * @param arguments  taken over; may be NULL
 * @return 0 or -1
 */
int qmp_send(Qmp *qmp, const char *command, json_t *arguments);

/**
 * Does a command.
 *
 * @param arguments  taken over; may be NULL
 * @return what it returns, the caller's, or NULL: also if the server's answer is an error
 */
json_t *qmp_ask(Qmp *qmp, const char *command, json_t *arguments);

/** Reads once, what has come. @return 0, or -1: the connection has ended, or a message is too long
 */
int qmp_read(Qmp *qmp);

/** Whether a whole message has been read. */
bool qmp_has_message(Qmp *qmp);

/** That message, the caller's, or NULL: it is not JSON. */
json_t *qmp_take(Qmp *qmp);

/** Waits for the next message, the caller's. NULL after an error. */
json_t *qmp_receive(Qmp *qmp);

/** Whether a message is the greeting of a control socket. @return 0 or -1 */
int qmp_check_greeting(Qmp *qmp, const json_t *message);

/** What an answer returns, the caller's, or NULL: it is an error. */
json_t *qmp_result(Qmp *qmp, const json_t *answer);
