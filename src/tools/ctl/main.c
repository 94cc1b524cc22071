/* SPDX-License-Identifier: MIT */
/* ivshmem-ctl: the control socket for people and scripts. */
#include "tools/ctl/ctl.h"

#include "util/cleanup.h"
#include "util/cli.h"
#include "util/standard.h"

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const Column region_columns[] = {
    {"name", "REGION", SHOW_PLAIN},
    {"size", "SIZE", SHOW_SIZE},
    {"memory", "MEMORY", SHOW_PLAIN},
    {"vectors", "VECTORS", SHOW_PLAIN},
    {"listeners", "LISTENERS", SHOW_PLAIN},
    {"clients", "CLIENTS", SHOW_PLAIN},
    {"max-clients", "MAX", SHOW_PLAIN},
    {"ids-left", "IDS LEFT", SHOW_PLAIN},
    {0},
};

static const Column listener_columns[] = {
    {"region", "REGION", SHOW_PLAIN},
    {"name", "NAME", SHOW_PLAIN},
    {"reserved-id", "ID", SHOW_PLAIN},
    {"clients", "CLIENTS", SHOW_PLAIN},
    {"vectors", "VECTORS", SHOW_PLAIN},
    {"read-only", "READ-ONLY", SHOW_PLAIN},
    {"observers", "OBSERVERS", SHOW_PLAIN},
    {"path", "PATH", SHOW_PLAIN},
    {0},
};

static const Column client_columns[] = {
    {"region", "REGION", SHOW_PLAIN},
    {"id", "ID", SHOW_PLAIN},
    {"name", "NAME", SHOW_PLAIN},
    {"pid", "PID", SHOW_PLAIN},
    {"uid", "UID", SHOW_PLAIN},
    {"command", "COMMAND", SHOW_PLAIN},
    {"since", "SINCE", SHOW_TIME},
    {"vectors", "VECTORS", SHOW_PLAIN},
    {"pending", "PENDING", SHOW_PLAIN},
    {"doorbells", "DOORBELLS", SHOW_PLAIN},
    {0},
};

static const Column stats_columns[] = {
    {"region", "REGION", SHOW_PLAIN},
    {"clients", "CLIENTS", SHOW_PLAIN},
    {"joins", "JOINS", SHOW_PLAIN},
    {"departures", "DEPARTURES", SHOW_PLAIN},
    {"messages", "MESSAGES", SHOW_PLAIN},
    {"retries", "RETRIES", SHOW_PLAIN},
    {"pending", "PENDING", SHOW_PLAIN},
    {"fds-used", "FDS", SHOW_PLAIN},
    {"fds-allowed", "ALLOWED", SHOW_PLAIN},
    {"refusals", "REFUSALS", SHOW_PLAIN},
    {0},
};

static const Column command_columns[] = {
    {"name", "COMMAND", SHOW_PLAIN},
    {"changes", "CHANGES", SHOW_PLAIN},
    {"help", "MEANING", SHOW_PLAIN},
    {0},
};

#define NO_COLUMNS NULL

const CtlCommand ctl_commands[] = {
    {"version", "query-version", "", {0}, 0, NO_COLUMNS, NULL, "the server's version"},
    {"commands",
     "query-commands",
     "",
     {0},
     0,
     command_columns,
     NULL,
     "what the server can be told"},
    {"status", "query-status", "", {0}, 0, NO_COLUMNS, NULL, "the process, and what it uses"},
    {"regions", "query-regions", "", {0}, 0, region_columns, NULL, "the regions"},
    {"listeners",
     "query-listeners",
     "[REGION]",
     {"region"},
     0,
     listener_columns,
     NULL,
     "the listeners"},
    {"clients",
     "query-clients",
     "[REGION]",
     {"region"},
     0,
     client_columns,
     run_clients,
     "who is connected, and the doorbells that nobody has read"},
    {"stats", "query-stats", "[REGION]", {"region"}, 0, stats_columns, NULL, "the counters"},
    {"region-add",
     "region-add",
     "REGION [KEY=VALUE]...",
     {"region"},
     1,
     NO_COLUMNS,
     NULL,
     "make a region; the keys are those of ivshmem.conf(5)"},
    {"region-remove",
     "region-remove",
     "REGION [force=yes]",
     {"region"},
     1,
     NO_COLUMNS,
     NULL,
     "remove one; by force, with its clients"},
    {"listener-add",
     "listener-add",
     "REGION NAME [KEY=VALUE]...",
     {"region", "name"},
     2,
     NO_COLUMNS,
     NULL,
     "make a listener"},
    {"listener-remove",
     "listener-remove",
     "REGION NAME [force=yes]",
     {"region", "name"},
     2,
     NO_COLUMNS,
     NULL,
     "remove one; by force, with its clients"},
    {"client-disconnect",
     "client-disconnect",
     "REGION ID|pid=PID",
     {"region", "id"},
     1,
     NO_COLUMNS,
     NULL,
     "end a client's connection"},
    {"ring",
     "query-listeners",
     "REGION ID [VECTOR|all]",
     {0},
     0,
     NO_COLUMNS,
     run_ring,
     "ring a peer, as an observer"},
    {"watch",
     "qmp_capabilities",
     "",
     {0},
     0,
     NO_COLUMNS,
     run_watch,
     "show what happens, until SIGINT"},
    {"reload", "reload", "", {0}, 0, NO_COLUMNS, NULL, "read the configuration again"},
    {"quit", "quit", "", {0}, 0, NO_COLUMNS, NULL, "end the server"},
};
const unsigned n_ctl_commands = sizeof(ctl_commands) / sizeof(ctl_commands[0]);

enum { OPTION_HELP, OPTION_VERSION, OPTION_CONTROL, OPTION_JSON, OPTION_TIMEOUT, N_OPTIONS };

static const CliOption table[] = {
    [OPTION_HELP] = CLI_HELP,
    [OPTION_VERSION] = CLI_VERSION,
    [OPTION_CONTROL] = {'c', "control", "PATH",
                        "the server's control socket (" QMP_DEFAULT_PATH ")"},
    [OPTION_JSON] = {0, "json", NULL, "show what the server says as JSON"},
    [OPTION_TIMEOUT] = {0, "timeout", "S", "seconds for each answer (10)"},
};

int ctl_error(const char *format, ...)
{
    va_list arguments;

    (void)fflush(stdout);
    (void)fputs(PROGRAM ": ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    return EXIT_FAILURE;
}

json_t *ctl_ask(Qmp *qmp, const char *command, json_t *arguments)
{
    json_t *result = qmp_ask(qmp, command, arguments);

    if (!result)
        (void)ctl_error("%s", qmp->error.text);
    return result;
}

static void show_help(void)
{
    (void)puts("Usage: " PROGRAM " [OPTION]... COMMAND [ARGUMENT]...\n"
               "Ask and command an ivshmem-server through its control socket.\n");
    cli_show(table, N_OPTIONS);
    (void)puts("");
    for (unsigned i = 0; i < n_ctl_commands; i++) {
        char usage[64];

        (void)snprintf(usage, sizeof(usage), "%s %s", ctl_commands[i].name,
                       ctl_commands[i].arguments);
        (void)printf("  %-40s %s\n", usage, ctl_commands[i].help);
    }
}

/* False if the value is wrong, which has been shown. */
static bool store(CtlOptions *options, int option, const char *value)
{
    if (option == OPTION_CONTROL)
        options->control = value;
    if (option == OPTION_JSON)
        options->json = true;
    if (option == OPTION_TIMEOUT)
        options->timeout_ms = cli_seconds(PROGRAM, "timeout", value, INT_MAX / 1000);
    return options->timeout_ms > 0;
}

static int find_command(CtlOptions *options, int argc, char **argv)
{
    if (optind == argc)
        return ctl_error("no command (see --help)");
    for (unsigned i = 0; i < n_ctl_commands; i++)
        if (strcmp(ctl_commands[i].name, argv[optind]) == 0)
            options->command = &ctl_commands[i];
    options->words = argv + optind + 1;
    options->n_words = argc - optind - 1;
    return options->command ? EXIT_SUCCESS
                            : ctl_error("unknown command '%s' (see --help)", argv[optind]);
}

static int ask_and_show(Qmp *qmp, const CtlOptions *options)
{
    json_t *arguments = ctl_arguments(qmp, options);
    json_t *answer = arguments ? ctl_ask(qmp, options->command->execute, arguments) : NULL;

    if (!answer)
        return EXIT_FAILURE;
    ctl_show(answer, options);
    json_decref(answer);
    return EXIT_SUCCESS;
}

static int flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    return ctl_error("cannot write to standard output: %s", strerror(errno));
}

static int run(const CtlOptions *options)
{
    _cleanup_(qmp_close) Qmp qmp = QMP_NONE;
    int status;

    if (qmp_open(&qmp, options->control, options->timeout_ms) < 0)
        return ctl_error("%s", qmp.error.text);
    status =
        options->command->run ? options->command->run(&qmp, options) : ask_and_show(&qmp, options);
    return flush() == EXIT_SUCCESS ? status : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    CtlOptions options = {.control = QMP_DEFAULT_PATH, .timeout_ms = DEFAULT_TIMEOUT_MS};
    const char *value;
    int option;

    standard_open();
    while ((option = cli_next(table, N_OPTIONS, PROGRAM, argc, argv, &value)) != CLI_END) {
        if (option == OPTION_HELP)
            show_help();
        if (option == OPTION_VERSION)
            (void)puts(PROGRAM " " IVSHMEM_VERSION);
        if (option == OPTION_HELP || option == OPTION_VERSION)
            return flush();
        if (option < 0 || !store(&options, option, value))
            return EXIT_FAILURE;
    }
    if (find_command(&options, argc, argv) != EXIT_SUCCESS || !options.command)
        return EXIT_FAILURE;
    return run(&options);
}
