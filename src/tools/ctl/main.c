/* SPDX-License-Identifier: MIT */
/* ivshmem-ctl: the control socket for people and scripts. */
#include "tools/ctl/ctl.h"

#include "util/cleanup.h"
#include "util/cli.h"
#include "util/standard.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { OPTION_HELP, OPTION_VERSION, OPTION_CONTROL, OPTION_JSON, OPTION_TIMEOUT, N_OPTIONS };

static const CliOption table[] = {
    [OPTION_HELP] = CLI_HELP,
    [OPTION_VERSION] = CLI_VERSION,
    [OPTION_CONTROL] = {'c', "control", "PATH",
                        "the server's control socket (" QMP_DEFAULT_PATH ")"},
    [OPTION_JSON] = {0, "json", NULL, "show what the server says as JSON"},
    [OPTION_TIMEOUT] = {0, "timeout", "S", "seconds for each answer (10)"},
};

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

static int run(const CtlOptions *options)
{
    _cleanup_(qmp_close) Qmp qmp = QMP_NONE;
    int status;

    if (qmp_open(&qmp, options->control, options->timeout_ms) < 0)
        return ctl_error("%s", qmp.error.text);
    status = ctl_run(&qmp, options);
    return cli_flush(PROGRAM) == EXIT_SUCCESS ? status : EXIT_FAILURE;
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
            return cli_flush(PROGRAM);
        if (option < 0 || !store(&options, option, value))
            return EXIT_FAILURE;
    }
    if (find_command(&options, argc, argv) != EXIT_SUCCESS || !options.command)
        return EXIT_FAILURE;
    return run(&options);
}
