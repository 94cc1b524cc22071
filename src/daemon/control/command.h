/* SPDX-License-Identifier: MIT */
/*
 * The commands of the control socket: one table (command-table.c), from which arguments are
 * checked, query-commands answers, and the manual is tested.
 */
#pragma once

#include "daemon/settings/key.h"
#include "util/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct Daemon;
struct Session;

typedef enum ArgumentType {
    ARGUMENT_STRING,
    ARGUMENT_INTEGER, /* 0 to what the command allows */
    ARGUMENT_BOOLEAN,
} ArgumentType;

typedef struct Argument {
    const char *name; /* NULL: the end of the list */
    ArgumentType type;
    bool required;
    json_int_t max; /* of an integer */
    const char *help;
} Argument;

#define COMMAND_MAX_ARGUMENTS 8 /* in a row of the table, with its end */

typedef struct Command Command;

/**
 * Does a command whose arguments have been checked against the table.
 *
 * @param result  set to what is returned; it may stay NULL for an empty object
 * @return 0, or a negative errno with the reason
 */
typedef int CommandRun(struct Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error);

struct Command {
    const char *name;
    bool changes; /* only for root and the server's user */
    CommandRun *run;
    Argument arguments[COMMAND_MAX_ARGUMENTS];
    const char *help;
    const KeyTable *keys; /* what else can be told, or NULL */
};

extern const Command command_table[];
extern const size_t n_commands;

/** The answer to a message: "return" or "error", with the message's "id". */
json_t *command_answer(struct Session *session, const char *text, size_t length);

/* The commands. */
CommandRun run_client_disconnect, run_listener_add, run_listener_remove, run_region_add,
    run_region_remove, run_take_over, run_reload, run_query_clients, run_query_commands,
    run_query_listeners, run_query_manifest, run_query_regions, run_query_stats, run_query_status,
    run_query_version, run_quit;
