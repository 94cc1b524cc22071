/* SPDX-License-Identifier: MIT */
/* Becoming a daemon, in a child process that its parent answers for. */
#pragma once

#include <stdbool.h>

typedef struct Daemonize {
    int ready_fd; /* what is written here lets the parent exit; -1: there is no parent that waits */
    int null_fd;  /* what standard input, output and error become */
    bool keeps_stderr; /* it is a file: what the daemon has to say goes on going there */
} Daemonize;

#define DAEMONIZE_NONE ((Daemonize){-1, -1, false})

/**
 * Goes on in a child process with a session of its own, while the parent waits for what the child
 * says and then exits: with 0 if the child is ready, else with 1. So whoever started the daemon
 * goes on when it can be used, and sees its errors. The working directory stays: paths may be
 * relative.
 *
 * @return 0 in the child; a negative errno if there is no child
 */
int daemonize_begin(Daemonize *daemonize);

/** The daemon is ready: lets its standard descriptors go, and the parent exit. Does nothing if
 *  daemonize_begin() was not called. */
void daemonize_done(Daemonize *daemonize);

/** Lets the parent exit with 1, if it is still waiting. */
void daemonize_abandon(Daemonize *daemonize);
