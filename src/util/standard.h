/* SPDX-License-Identifier: MIT */
/* Standard input, output and error. */
#pragma once

#include <fcntl.h>
#include <unistd.h>

/**
 * Opens a stand-in for each of the three that whoever started us has closed. Otherwise the first
 * descriptor that we open would get its number: a socket would be read as standard input, would get
 * what is meant for people, and would be closed when a daemon lets go of its terminal. Using the
 * stand-in fails, as using a closed descriptor does.
 */
static inline void standard_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) /* the lowest that is free is the next that is opened */
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
