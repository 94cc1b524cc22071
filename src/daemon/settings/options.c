/* SPDX-License-Identifier: MIT */
#include "daemon/settings/options.h"

#include "daemon/settings/config.h"
#include "daemon/settings/option-table.h"

#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>

#define PROGRAM "ivshmem-server"

static OptionsResult complain(const char *what, const char *which)
{
    (void)fprintf(stderr, PROGRAM ": %s%s%s%s (see --help)\n", what, *which ? " '" : "", which,
                  *which ? "'" : "");
    return OPTIONS_WRONG;
}

static OptionsResult show(const Option *option, const CliOption *table)
{
    if (option->cli.letter == 'h') {
        (void)puts("Usage: " PROGRAM " [OPTION]...\n"
                   "Share memory and doorbells between QEMU guests and host processes.\n");
        cli_show(table, n_options);
    } else {
        (void)puts(PROGRAM " " IVSHMEM_VERSION);
    }
    return OPTIONS_DONE;
}

/* What follows from several options together. */
static OptionsResult conclude(Options *options, const Option *region_option, int argc, char **argv)
{
    char both[128];
    IvshmemServerConfig *server = &options->server;

    /* getopt's optional values stand in the same word; people write two. */
    if (options->config && !*options->config && optind == argc - 1)
        options->config = argv[optind++];
    if (optind < argc)
        return complain("unexpected argument", argv[optind]);
    if (options->config ? !*options->config : options->check_config)
        options->config = CONFIG_DEFAULT_PATH;
    if (options->config && region_option) {
        (void)snprintf(both, sizeof(both),
                       "--%s cannot be used with --config: it stands in each region's file",
                       region_option->cli.name);
        return complain(both, "");
    }
    options->says_regions = options->config || region_option;
    if (options->take_over && options->control && strcmp(options->take_over, options->control) != 0)
        return complain("--control is that of the server to take over from", "");
    if (options->take_over)
        options->control = options->take_over;
    if (options->config && !options->control)
        options->control = OPTIONS_DEFAULT_CONTROL;
    if (server->verbose && !options->foreground && !options->check_config)
        return complain("cannot use verbose in daemon mode: -v needs -F", "");
    if (options->control_gid != (gid_t)-1 && !options->control)
        return complain("--control-group needs --control", "");
    if (server->socket_gid != (gid_t)-1 && server->socket_mode < 0)
        server->socket_mode = 0660;
    /* What the server opens again or removes later must be its user's. */
    server->memory_uid = options->run_uid;
    server->memory_gid = server->socket_mode & S_IWGRP ? server->socket_gid : (gid_t)-1;
    if (server->socket_uid == (uid_t)-1)
        server->socket_uid = options->run_uid;
    return OPTIONS_RUN;
}

OptionsResult options_parse(Options *options, int argc, char **argv)
{
    const Option *region_option = NULL;
    CliOption table[CLI_MAX_OPTIONS];
    const char *value;
    int index;

    *options = (Options){
        .pidfile = OPTIONS_DEFAULT_PIDFILE,
        .run_uid = (uid_t)-1,
        .run_gid = (gid_t)-1,
        .sandbox = SANDBOX_DEFAULT,
        .control_gid = (gid_t)-1,
    };
    ivshmem_server_config_init(&options->server);
    for (unsigned i = 0; i < n_options; i++)
        table[i] = option_table[i].cli;
    while ((index = cli_next(table, n_options, PROGRAM, argc, argv, &value)) != CLI_END) {
        const Option *option = &option_table[index < 0 ? 0 : index];

        if (index < 0)
            return OPTIONS_WRONG;
        if (!option->store)
            return show(option, table);
        if (!option->store(options, option, value))
            return OPTIONS_WRONG;
        if (!option->of_process)
            region_option = option;
    }
    return conclude(options, region_option, argc, argv);
}
