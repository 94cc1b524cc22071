/* SPDX-License-Identifier: MIT */
/* The command line of ivshmem-client: QEMU's options, ours, and a command for scripts. */
#pragma once

#include "tools/client/tool.h"

typedef enum OptionsResult {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* help or version has been shown */
    OPTIONS_WRONG, /* an error has been shown */
} OptionsResult;

/** Reads the command line. Errors are one line on standard error. Strings point into argv. */
OptionsResult options_parse(ToolOptions *options, int argc, char **argv);
