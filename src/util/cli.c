/* SPDX-License-Identifier: MIT */
#include "util/cli.h"

#include "util/size.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_ONLY 256 /* getopt_long's code of the first option in the table: past all letters */

static void prepare(const CliOption *table, size_t n, char *letters, struct option *longs)
{
    *letters++ = ':'; /* errors are ours to show */
    for (size_t i = 0; i < n; i++) {
        longs[i] = (struct option){
            .name = table[i].name,
            .has_arg = !table[i].value          ? no_argument
                       : *table[i].value == '[' ? optional_argument
                                                : required_argument,
            .val = LONG_ONLY + (int)i,
        };
        if (table[i].letter)
            *letters++ = table[i].letter;
        if (table[i].letter && table[i].value)
            *letters++ = ':';
    }
    longs[n] = (struct option){0};
    *letters = '\0';
}

static int complain(const char *program, const char *why, const char *word)
{
    if (optopt > 0 && optopt < LONG_ONLY)
        (void)fprintf(stderr, "%s: %s '-%c' (see --help)\n", program, why, optopt);
    else
        (void)fprintf(stderr, "%s: %s '%s' (see --help)\n", program, why, word);
    return CLI_WRONG;
}

/* getopt_long takes the beginning of an option's name for the name. What is short for one option
 * today could be short for two tomorrow. */
static bool is_abbreviated(const CliOption *table, int code, const char *word)
{
    const char *name = code < LONG_ONLY ? NULL : table[code - LONG_ONLY].name;

    return name && strcspn(word + 2, "=") != strlen(name);
}

int cli_next(const CliOption *table, size_t n, const char *program, int argc, char **argv,
             const char **value)
{
    char letters[2 * CLI_MAX_OPTIONS + 2];
    struct option longs[CLI_MAX_OPTIONS + 1];
    const char *word;
    int code;

    assert(n <= CLI_MAX_OPTIONS);
    prepare(table, n, letters, longs);
    code = getopt_long(argc, argv, letters, longs, NULL);
    if (code == -1)
        return CLI_END;
    word = argv[optind - 1 - (optarg && optarg == argv[optind - 1])];
    if (is_abbreviated(table, code == ':' || code == '?' ? optopt : code, word)) {
        optopt = 0; /* it is the word that is unknown, whatever it may be short for */
        return complain(program, "unknown option", word);
    }
    if (code == ':')
        return complain(program, "a value is missing after", word);
    if (code == '?')
        return complain(program, optopt >= LONG_ONLY ? "unexpected value in" : "unknown option",
                        word);
    *value = optarg;
    for (size_t i = 0; i < n; i++)
        if (code == LONG_ONLY + (int)i || code == table[i].letter)
            return (int)i;
    return CLI_WRONG;
}

int cli_flush(const char *program)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "%s: cannot write to standard output: %s\n", program, strerror(errno));
    return EXIT_FAILURE;
}

int cli_seconds(const char *program, const char *option, const char *value, int most)
{
    uint64_t seconds;

    if (count_parse(value, 1, (uint64_t)most, &seconds) == 0)
        return (int)seconds * 1000;
    (void)fprintf(stderr, "%s: --%s '%s': not a number of seconds from 1 to %d\n", program, option,
                  value, most);
    return CLI_WRONG;
}

void cli_show(const CliOption *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const CliOption *option = &table[i];
        char letter[] = {'-', option->letter, ',', '\0'};
        char forms[64];

        (void)snprintf(forms, sizeof(forms), "%3s --%s%s%s", option->letter ? letter : "",
                       option->name, option->value ? "=" : "", option->value ? option->value : "");
        (void)printf("  %-28s %s\n", forms, option->help);
    }
}
