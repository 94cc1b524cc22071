/* SPDX-License-Identifier: MIT */
#include "tools/client/options.h"

#include "util/cli.h"
#include "util/size.h"

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 10000000 /* round trips; each takes 8 bytes */

enum {
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_VERBOSE,
    OPTION_SOCKET,
    OPTION_PORT,
    OPTION_REGION,
    OPTION_CONTROL,
    OPTION_CONNECT_TIMEOUT,
    OPTION_VECTORS,
    OPTION_JSON,
    OPTION_TIMEOUT,
    OPTION_COUNT,
    OPTION_INTERVAL,
    OPTION_SPIN,
    OPTION_VECTOR,
    OPTION_OFFSET,
    OPTION_FORCE,
    OPTION_GROUP,
    OPTION_UNDO,
    OPTION_DRY_RUN,
    N_OPTIONS
};

static const CliOption table[] = {
    [OPTION_HELP] = CLI_HELP,
    [OPTION_VERSION] = CLI_VERSION,
    [OPTION_VERBOSE] = {'v', "verbose", NULL, "say what happens"},
    [OPTION_SOCKET] = {'S', "socket", "PATH", "the server's Unix socket (" DEFAULT_SOCKET ")"},
    [OPTION_PORT] = {0, "port", "URI",
                     "in its place: unix:PATH, or in a virtual machine pci:ADDRESS or pci:auto"},
    [OPTION_REGION] = {0, "region", "NAME", "connect as an observer of this region instead"},
    [OPTION_CONTROL] = {0, "control", "PATH",
                        "the control socket, which observers' sockets lie beside (" DEFAULT_CONTROL
                        ")"},
    [OPTION_CONNECT_TIMEOUT] = {0, "connect-timeout", "S",
                                "seconds until the server must have set us up (10)"},
    [OPTION_VECTORS] = {0, "vectors", "N", "how many the server gives each client, if known"},
    [OPTION_JSON] = {0, "json", NULL, "list, wait, watch, ping: JSON, one object a line"},
    [OPTION_TIMEOUT] = {0, "timeout", "S",
                        "wait, pong: seconds until it gives up, status 2 (never); ping: for an "
                        "answer (5)"},
    [OPTION_COUNT] = {0, "count", "N", "ping: round trips (1000); pong: pings to answer (no end)"},
    [OPTION_INTERVAL] = {0, "interval", "S", "ping: seconds between two (0)"},
    [OPTION_SPIN] = {0, "spin", NULL, "ping: both sides look at the memory all the time"},
    [OPTION_VECTOR] = {0, "vector", "N", "ping, pong: the vector to use on both sides (0)"},
    [OPTION_OFFSET] = {0, "offset", "BYTES",
                       "ping, pong: where to use 256 bytes of the memory (0)"},
    [OPTION_FORCE] = {0, "force", NULL, "ping: also if the memory is not empty"},
    [OPTION_GROUP] = {0, "group", "NAME", "setup: who may use the device, besides root"},
    [OPTION_UNDO] = {0, "undo", NULL, "setup: leave the device as it was after boot"},
    [OPTION_DRY_RUN] = {0, "dry-run", NULL, "setup: show what would be done"},
};
_Static_assert(sizeof(table) / sizeof(table[0]) == N_OPTIONS, "a row each");
_Static_assert(N_OPTIONS <= CLI_MAX_OPTIONS, "all of them fit");

/* Which a command must take; 0: all do. */
static const unsigned takes[N_OPTIONS] = {
    [OPTION_JSON] = TAKES_JSON,     [OPTION_TIMEOUT] = TAKES_TIMEOUT, [OPTION_COUNT] = TAKES_COUNT,
    [OPTION_INTERVAL] = TAKES_PING, [OPTION_SPIN] = TAKES_PING,       [OPTION_VECTOR] = TAKES_LINK,
    [OPTION_OFFSET] = TAKES_OFFSET, [OPTION_FORCE] = TAKES_PING,      [OPTION_GROUP] = TAKES_SETUP,
    [OPTION_UNDO] = TAKES_SETUP,    [OPTION_DRY_RUN] = TAKES_SETUP,
};

static void show_help(void)
{
    (void)puts("Usage: " PROGRAM " [OPTION]... [COMMAND [ARGUMENT]...]\n"
               "Be a peer of an ivshmem server, on the host or in a virtual machine. Without a "
               "COMMAND,\nread commands from standard input, where 'help' lists them.\n");
    cli_show(table, N_OPTIONS);
    (void)puts("");
    for (size_t i = 0; i < n_commands; i++) {
        char usage[64];

        (void)snprintf(usage, sizeof(usage), "%s %s", commands[i].name, commands[i].arguments);
        (void)printf("  %-26s %s\n", usage, commands[i].help);
    }
}

/* Seconds, with a fraction if need be, as milliseconds. */
static bool store_seconds(const char *name, const char *text, int *ms)
{
    char *end;
    double seconds = strtod(text, &end);

    if (!*text || *end || strspn(text, "0123456789.") != strlen(text) || seconds > INT_MAX / 1000) {
        (void)tool_error("--%s '%s': not a number of seconds from 0 to %d", name, text,
                         INT_MAX / 1000);
        return false;
    }
    *ms = (int)(seconds * 1000 + 0.5);
    return true;
}

static bool store_number(const char *name, const char *text, uint64_t min, uint64_t max,
                         uint64_t *out)
{
    if (count_parse(text, min, max, out) == 0)
        return true;
    (void)tool_error("--%s '%s': not a number from %" PRIu64 " to %" PRIu64, name, text, min, max);
    return false;
}

static bool store_unsigned(const char *name, const char *text, unsigned min, unsigned max,
                           unsigned *out)
{
    uint64_t number = 0;
    bool good = store_number(name, text, min, max, &number);

    if (good)
        *out = (unsigned)number;
    return good;
}

static bool store(ToolOptions *options, int option, const char *value)
{
    switch (option) {
    case OPTION_VERBOSE:
        options->verbose = true;
        return true;
    case OPTION_SOCKET:
        options->socket = value;
        return true;
    case OPTION_PORT:
        options->port = value;
        return true;
    case OPTION_REGION:
        options->region = value;
        return true;
    case OPTION_CONTROL:
        options->control = value;
        return true;
    case OPTION_CONNECT_TIMEOUT:
        return store_seconds("connect-timeout", value, &options->connect_timeout_ms);
    case OPTION_VECTORS:
        return store_unsigned("vectors", value, 1, VECTOR_MAX + 1, &options->vectors);
    case OPTION_JSON:
        options->json = true;
        return true;
    case OPTION_TIMEOUT:
        return store_seconds("timeout", value, &options->timeout_ms);
    case OPTION_COUNT:
        return store_number("count", value, 1, COUNT_MAX, &options->count);
    case OPTION_INTERVAL:
        return store_seconds("interval", value, &options->interval_ms);
    case OPTION_SPIN:
        options->spin = true;
        return true;
    case OPTION_VECTOR:
        return store_unsigned("vector", value, 0, VECTOR_MAX, &options->vector);
    case OPTION_OFFSET:
        return tool_size("--offset", value, &options->offset) == STATUS_OK;
    case OPTION_GROUP:
        options->group = value;
        return true;
    case OPTION_UNDO:
        options->undo = true;
        return true;
    case OPTION_DRY_RUN:
        options->dry_run = true;
        return true;
    case OPTION_FORCE:
        options->force = true;
        return true;
    default:
        return false;
    }
}

static bool find_command(ToolOptions *options, const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            options->command = &commands[i];
    if (!options->command)
        (void)tool_error("unknown command '%s' (see --help)", name);
    return options->command;
}

static bool check_command(const ToolOptions *options, const bool *given)
{
    const Command *command = options->command;

    if (command && (options->n_arguments < command->min_arguments ||
                    options->n_arguments > command->max_arguments)) {
        (void)tool_error("wrong number of arguments; it is '%s%s%s'", command->name,
                         *command->arguments ? " " : "", command->arguments);
        return false;
    }
    for (int i = 0; i < N_OPTIONS; i++) {
        if (given[i] && takes[i] & ~(command ? command->takes : 0)) {
            (void)tool_error("--%s does not go with %s", table[i].name,
                             command ? command->name : "interactive use");
            return false;
        }
    }
    if (options->socket && options->port) {
        (void)tool_error("--socket and --port both say where");
        return false;
    }
    return true;
}

static bool needs_address(const Command *command)
{
    return command->run == run_wait || command->run == run_ping || command->run == run_pong;
}

/* The observers' socket of a region lies beside the control socket, unless its configuration says
 * otherwise. The path is the process's for good. */
static bool find_observers(ToolOptions *options)
{
    static char path[PATH_MAX];
    const char *control = options->control ? options->control : DEFAULT_CONTROL;
    const char *slash = strrchr(control, '/');
    int n = snprintf(path, sizeof(path), "%.*s%s.observers", slash ? (int)(slash + 1 - control) : 0,
                     control, options->region ? options->region : "");

    if (options->control && !options->region) {
        (void)tool_error("--control does not go without --region");
        return false;
    }
    if (!options->region)
        return true;
    if (options->socket || options->port) {
        (void)tool_error("only one of --socket, --port and --region is possible");
        return false;
    }
    if (!*options->region || strchr(options->region, '/') || n >= (int)sizeof(path)) {
        (void)tool_error("--region '%s': not the name of a region", options->region);
        return false;
    }
    if (options->command && needs_address(options->command)) {
        (void)tool_error("--region does not go with %s: nobody can ring an observer",
                         options->command->name);
        return false;
    }
    options->socket = path;
    return true;
}

OptionsResult options_parse(ToolOptions *options, int argc, char **argv)
{
    bool given[N_OPTIONS] = {false};
    const char *value;
    int option;

    *options = (ToolOptions){.connect_timeout_ms = -1, .timeout_ms = -1};
    while ((option = cli_next(table, N_OPTIONS, PROGRAM, argc, argv, &value)) != CLI_END) {
        if (option == OPTION_HELP)
            show_help();
        if (option == OPTION_VERSION)
            (void)puts(PROGRAM " " IVSHMEM_VERSION);
        if (option == OPTION_HELP || option == OPTION_VERSION)
            return OPTIONS_DONE;
        if (option == CLI_WRONG || !store(options, option, value))
            return OPTIONS_WRONG;
        given[option] = true;
        options->given |= takes[option];
    }
    if (optind < argc && !find_command(options, argv[optind]))
        return OPTIONS_WRONG;
    if (options->command) {
        options->arguments = argv + optind + 1;
        options->n_arguments = argc - optind - 1;
    }
    return find_observers(options) && check_command(options, given) ? OPTIONS_RUN : OPTIONS_WRONG;
}
