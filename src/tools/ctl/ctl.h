/* SPDX-License-Identifier: MIT */
/* ivshmem-ctl: what its parts share. */
#pragma once

#include "qmp/qmp.h"

#include <jansson.h>
#include <stdbool.h>

#define PROGRAM "ivshmem-ctl"

#define DEFAULT_TIMEOUT_MS 10000

#define EXIT_LEFT 2 /* of reload: something stays as it was */

#define MAX_POSITIONAL 3

typedef struct CtlCommand CtlCommand;

typedef struct CtlOptions {
    const char *control;
    bool json;
    int timeout_ms;
    const CtlCommand *command;
    char **words; /* its arguments */
    int n_words;
} CtlOptions;

/** How a column of a table, or a line of an object, is shown. */
typedef enum ShowAs {
    SHOW_PLAIN,
    SHOW_SIZE, /* a number of bytes */
    SHOW_TIME,
} ShowAs;

typedef struct Column {
    const char *member; /* NULL: the end */
    const char *title;
    ShowAs as;
} Column;

struct CtlCommand {
    const char *name;
    const char *execute;                    /* what the server is told */
    const char *arguments;                  /* for the help */
    const char *positional[MAX_POSITIONAL]; /* what they are called there; NULL: no more */
    int n_required;
    const Column *columns; /* of an answer that is a list; NULL: it is an object */
    /** Does it, and gives the exit status. NULL: the usual, ask and show. */
    int (*run)(Qmp *qmp, const CtlOptions *options);
    const char *help;
};

extern const CtlCommand ctl_commands[];
extern const unsigned n_ctl_commands;

/** Does the command of the options. Gives the exit status; errors have been shown. */
int ctl_run(Qmp *qmp, const CtlOptions *options);

/** Shows an error on standard error, in one line. Gives the exit status for it. */
__attribute__((format(printf, 1, 2))) int ctl_error(const char *format, ...);

/** Makes question marks of what a terminal would take for a command. Gives the text back. */
char *ctl_clean(char *text);

/** Shows a text in this way; a hyphen for one that is empty or NULL. */
void ctl_put(const char *text);

/**
 * Does a command, and shows what goes wrong.
 *
 * @param arguments  taken over; may be NULL
 * @return what it returns, the caller's, or NULL
 */
json_t *ctl_ask(Qmp *qmp, const char *command, json_t *arguments);

/**
 * The arguments that the words stand for: positional ones, and NAME=VALUE of what the server knows.
 *
 * @return NULL if something is wrong, which has been shown; else the caller's
 */
json_t *ctl_arguments(Qmp *qmp, const CtlOptions *options);

/** Shows an answer: as JSON, as a table, or line by line. */
void ctl_show(const json_t *answer, const CtlOptions *options);

/** The lines of an object, each with some spaces before it. */
void ctl_show_object(const json_t *object, const char *indent);

/* Commands that are not the usual. */
int run_clients(Qmp *qmp, const CtlOptions *options);
int run_reload(Qmp *qmp, const CtlOptions *options);
int run_ring(Qmp *qmp, const CtlOptions *options);
int run_watch(Qmp *qmp, const CtlOptions *options);
