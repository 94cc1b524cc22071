/* SPDX-License-Identifier: MIT */
/* The file that says which process the daemon is. */
#pragma once

#include <limits.h>
#include <sys/types.h>

/**
 * The pidfile of a daemon: locked as long as it runs, removed at its end. Scripts wait for it: it
 * has a number in it only once the daemon serves.
 */
typedef struct Pidfile {
    char path[PATH_MAX];
    int fd; /* -1: there is none */
} Pidfile;

#define PIDFILE_NONE ((Pidfile){.fd = -1})

/**
 * Opens, locks and empties the file. Errors are shown on standard error.
 *
 * @param owner  who is to own the file: who removes it at the end; (uid_t)-1: we
 * @return 0 or a negative errno: -EWOULDBLOCK if a living daemon has it, -EPERM if somebody else
 * has put it there
 */
int pidfile_open(Pidfile *pidfile, const char *path, uid_t owner);

/** Writes the ID of the process that the daemon is, or has become. Takes one that is not open.
 * Errors are shown, too. */
int pidfile_write(const Pidfile *pidfile, pid_t pid);

/** Removes it, or empties it where the folder does not let us. Takes one that is not open. */
void pidfile_close(Pidfile *pidfile);
