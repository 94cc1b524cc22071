/* SPDX-License-Identifier: MIT */
#pragma once

/**
 * The pidfile of a daemon: locked as long as it runs, removed at its end.
 */
typedef struct Pidfile {
    const char *path; /* the caller's */
    int fd;           /* -1: there is none */
} Pidfile;

#define PIDFILE_NONE ((Pidfile){.fd = -1})

/**
 * Opens and locks the file, and writes this process' ID to it. Errors are shown on standard error.
 *
 * @return 0 or a negative errno: -EWOULDBLOCK if a living daemon has it
 */
int pidfile_open(Pidfile *pidfile, const char *path);

/** Removes it. Takes one that is not open. */
void pidfile_close(Pidfile *pidfile);
