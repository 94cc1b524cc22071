/* SPDX-License-Identifier: MIT */
/*
 * Asking the server everything that there are metrics of, without ever waiting: once it has said
 * who it is, all questions are sent, and the answers are taken as they come. A connection of its
 * own for each time needs no care for a server that ends and comes back.
 */
#pragma once

#include "qmp/qmp.h"

#include <stdint.h>

/** Where the values of metrics come from. */
typedef enum Question {
    QUESTION_SELF, /* not asked: what the exporter knows itself */
    QUESTION_VERSION,
    QUESTION_STATUS,
    QUESTION_REGIONS,
    QUESTION_STATS,
    QUESTION_LISTENERS,
    N_QUESTIONS,
} Question;

typedef struct Ask {
    bool is_running;
    Qmp qmp; /* its error says what went wrong */
    bool is_greeted;
    unsigned n_answers; /* that of the negotiation too */
    int64_t began, deadline;
    json_t *answers[N_QUESTIONS]; /* that of QUESTION_SELF stays NULL */
} Ask;

typedef enum AskResult {
    ASK_GOES_ON,
    ASK_DONE,
    ASK_FAILED, /* there are no answers */
} AskResult;

/** Begins. @param timeout_ms  for everything together; not 0 */
AskResult ask_begin(Ask *ask, const char *path, int timeout_ms);

/** Takes what has come. To be called when the socket is readable, and at the deadline. */
AskResult ask_go_on(Ask *ask);

/** Frees the answers. Takes one that has not begun. */
void ask_end(Ask *ask);
