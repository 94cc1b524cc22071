/* SPDX-License-Identifier: MIT */
/* The options of ivshmem-server, a row each: what the help says and how a value is stored. */
#pragma once

#include "daemon/settings/options.h"
#include "util/cli.h"

typedef struct Option Option;

/** Stores an option's value. False if it is wrong: why is on standard error then. */
typedef bool OptionStore(Options *options, const Option *option, const char *value);

struct Option {
    CliOption cli;
    OptionStore *store; /* NULL: help or version */
    size_t offset;      /* in Options, of what is stored */
    uint64_t min, max;  /* of a number */
    bool of_process;    /* a configuration does not say it */
};

/** In the order of the help. */
extern const Option option_table[];
extern const unsigned n_options;
