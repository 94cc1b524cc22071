/* SPDX-License-Identifier: MIT */
/* A command line's options out of a table, from which the help is made too. */
#pragma once

#include <stddef.h>

typedef struct CliOption {
    char letter; /* 0: only the long form */
    const char *name;
    const char *value; /* what it is called in the help; NULL: the option takes none; in brackets,
                          for an option without a letter: it may be missing */
    const char *help;
} CliOption;

/** Rows of the table that every tool has. */
#define CLI_HELP                                                                                   \
    {                                                                                              \
        'h', "help", NULL, "show this and exit"                                                    \
    }
#define CLI_VERSION                                                                                \
    {                                                                                              \
        0, "version", NULL, "show the version and exit"                                            \
    }

#define CLI_MAX_OPTIONS 64 /* in a table */

#define CLI_END   (-1)
#define CLI_WRONG (-2)

/**
 * The next option, by getopt_long(3): a program's first call is the first one of the process.
 * Afterwards `optind` is the first argument that is no option; arguments are permuted.
 *
 * @param value  the option's value, in argv; NULL if there is none
 * @return its index in the table, CLI_END, or CLI_WRONG after an error has been shown
 */
int cli_next(const CliOption *table, size_t n, const char *program, int argc, char **argv,
             const char **value);

/** Flushes standard output. @return EXIT_SUCCESS, or EXIT_FAILURE after an error has been shown */
int cli_flush(const char *program);

/**
 * An option's value as a number of seconds from 1 to `most`, which is INT_MAX / 1000 at most.
 *
 * @return milliseconds, or CLI_WRONG after an error has been shown
 */
int cli_seconds(const char *program, const char *option, const char *value, int most);

/** A line of the help for each. */
void cli_show(const CliOption *table, size_t n);
