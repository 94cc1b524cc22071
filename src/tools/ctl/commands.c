/* SPDX-License-Identifier: MIT */
/* What can be asked and commanded. */
#include "tools/ctl/ctl.h"

#include <stdlib.h>

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
    {"reload",
     "reload",
     "",
     {0},
     0,
     NO_COLUMNS,
     run_reload,
     "read the configuration again: status 2 if something was left"},
    {"quit", "quit", "", {0}, 0, NO_COLUMNS, NULL, "end the server"},
};
const unsigned n_ctl_commands = sizeof(ctl_commands) / sizeof(ctl_commands[0]);

json_t *ctl_ask(Qmp *qmp, const char *command, json_t *arguments)
{
    json_t *result = qmp_ask(qmp, command, arguments);

    if (!result)
        (void)ctl_error("%s", qmp->error.text);
    return result;
}

/* @return the answer, the caller's, or NULL */
static json_t *ask_and_show(Qmp *qmp, const CtlOptions *options)
{
    json_t *arguments = ctl_arguments(qmp, options);
    json_t *answer = arguments ? ctl_ask(qmp, options->command->execute, arguments) : NULL;

    if (answer)
        ctl_show(answer, options);
    return answer;
}

int run_reload(Qmp *qmp, const CtlOptions *options)
{
    json_auto_t *answer = ask_and_show(qmp, options);

    if (!answer)
        return EXIT_FAILURE;
    return json_array_size(json_object_get(answer, "left")) ? EXIT_LEFT : EXIT_SUCCESS;
}

static int run_usual(Qmp *qmp, const CtlOptions *options)
{
    json_auto_t *answer = ask_and_show(qmp, options);

    return answer ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ctl_run(Qmp *qmp, const CtlOptions *options)
{
    const CtlCommand *command = options->command;

    return command->run ? command->run(qmp, options) : run_usual(qmp, options);
}
