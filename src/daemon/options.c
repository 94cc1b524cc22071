/* SPDX-License-Identifier: MIT */
#include "daemon/options.h"

#include "daemon/option-table.h"

#include <getopt.h>
#include <stdio.h>

static void show_help(void)
{
    (void)puts("Usage: ivshmem-server [OPTION]...\n"
               "Share memory and doorbells between QEMU guests and host processes.\n");
    for (unsigned i = 0; i < n_options; i++) {
        const Option *option = &option_table[i];
        char forms[64];

        (void)snprintf(forms, sizeof(forms), "%c%c%s --%s%s%s", option->letter ? '-' : ' ',
                       option->letter ? option->letter : ' ', option->letter ? "," : " ",
                       option->name, option->value ? "=" : "", option->value ? option->value : "");
        (void)printf("  %-30s %s\n", forms, option->help);
    }
}

/* A long option's value for getopt_long is its index in the table, past all letters. */
#define LONG_ONLY 256

static void prepare_getopt(char *letters, struct option *longs)
{
    *letters++ = ':';
    for (unsigned i = 0; i < n_options; i++) {
        const Option *option = &option_table[i];

        longs[i] = (struct option){option->name, option->value ? required_argument : no_argument,
                                   NULL, LONG_ONLY + (int)i};
        if (option->letter) {
            *letters++ = option->letter;
            if (option->value)
                *letters++ = ':';
        }
    }
    longs[n_options] = (struct option){0};
    *letters = '\0';
}

static const Option *find(int code)
{
    for (unsigned i = 0; i < n_options; i++)
        if (code == LONG_ONLY + (int)i ||
            (option_table[i].letter && code == option_table[i].letter))
            return &option_table[i];
    return NULL;
}

static OptionsResult wrong_option(char **argv, bool lacks_value)
{
    char letter[3] = {'-', (char)optopt, '\0'};
    bool is_letter = optopt > 0 && optopt < LONG_ONLY;
    const char *why = lacks_value           ? "a value is missing behind"
                      : optopt >= LONG_ONLY ? "no value belongs behind"
                                            : "unknown option";

    (void)fprintf(stderr, "ivshmem-server: %s %s (see --help)\n", why,
                  is_letter ? letter : argv[optind - 1]);
    return OPTIONS_WRONG;
}

/* What follows from several options together. */
static OptionsResult conclude(Options *options, int argc, char **argv)
{
    IvshmemServerConfig *server = &options->server;

    if (optind < argc) {
        (void)fprintf(stderr, "ivshmem-server: unexpected argument '%s' (see --help)\n",
                      argv[optind]);
        return OPTIONS_WRONG;
    }
    if (server->verbose && !options->foreground) {
        (void)fputs("ivshmem-server: cannot use verbose in daemon mode: -v needs -F\n", stderr);
        return OPTIONS_WRONG;
    }
    if (server->socket_gid != (gid_t)-1 && server->socket_mode < 0)
        server->socket_mode = 0660;
    /* What the server opens again or removes later must be its user's. */
    server->memory_uid = options->run_uid;
    if (server->socket_uid == (uid_t)-1)
        server->socket_uid = options->run_uid;
    return OPTIONS_RUN;
}

OptionsResult options_parse(Options *options, int argc, char **argv)
{
    char letters[2 * OPTIONS_MAX + 2];
    struct option longs[OPTIONS_MAX + 1];
    int code;

    *options = (Options){
        .pidfile = OPTIONS_DEFAULT_PIDFILE,
        .run_uid = (uid_t)-1,
        .run_gid = (gid_t)-1,
        .sandbox = SANDBOX_DEFAULT,
    };
    ivshmem_server_config_init(&options->server);
    prepare_getopt(letters, longs);
    while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const Option *option;

        if (code == '?' || code == ':')
            return wrong_option(argv, code == ':');
        option = find(code);
        if (!option->store) {
            if (option->letter == 'h')
                show_help();
            else
                (void)puts("ivshmem-server " IVSHMEM_VERSION);
            return OPTIONS_DONE;
        }
        if (!option->store(options, option, optarg))
            return OPTIONS_WRONG;
    }
    return conclude(options, argc, argv);
}
