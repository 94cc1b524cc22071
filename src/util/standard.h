/* SPDX-License-Identifier: MIT */
/* Standard input, output and error. */
#pragma once

#include <fcntl.h>
#include <unistd.h>

/**
 * Gives each of the three a descriptor if whoever started us has closed it. Otherwise the first
 * that we open gets its number: a socket would be read as standard input, be written what is meant
 * for people, and be closed when a daemon lets go of its terminal. Using the stand-in is an error,
 * as using a closed one is.
 */
static inline void standard_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) /* the lowest that is free is the next that is opened */
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
