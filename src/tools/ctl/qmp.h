/* SPDX-License-Identifier: MIT */
/* A connection to a control socket: one command at a time, and events. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#define QMP_MAX_MESSAGE (64U << 20) /* bytes; a server that sends more is none of ours */

typedef struct Qmp {
    int fd;
    int timeout_ms; /* for each answer */
    char *buffer;
    size_t used, size;
} Qmp;

#define QMP_NONE ((Qmp){.fd = -1})

/** Connects and negotiates. Errors are shown. @return 0 or -1 */
int qmp_open(Qmp *qmp, const char *path, int timeout_ms);

void qmp_close(Qmp *qmp);

/**
 * Does a command. Errors, also the server's, are shown.
 *
 * @param arguments  taken over; may be NULL
 * @return what it returns, the caller's, or NULL
 */
json_t *qmp_ask(Qmp *qmp, const char *command, json_t *arguments);

/** The next message that has come, the caller's, or NULL after an error. @param timeout_ms  -1: no
 * limit; 0: NULL without an error if none has come */
json_t *qmp_receive(Qmp *qmp, int timeout_ms);
