/* SPDX-License-Identifier: MIT */
#pragma once

#include "daemon/options.h"

typedef struct Option Option;

/** Stores an option's value. False if it is wrong: why is on standard error then. */
typedef bool OptionStore(Options *options, const Option *option, const char *value);

struct Option {
    char letter; /* 0: only the long form */
    const char *name;
    const char *value;  /* what it is called in the help; NULL: the option takes none */
    OptionStore *store; /* NULL: help or version */
    size_t offset;      /* in Options, of what is stored */
    uint64_t min, max;  /* of a number */
    const char *help;
};

/** In the order of the help. */
extern const Option option_table[];
extern const unsigned n_options;

#define OPTIONS_MAX 64 /* more than there are */
