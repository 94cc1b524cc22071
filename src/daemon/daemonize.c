/* SPDX-License-Identifier: MIT */
#include "daemon/daemonize.h"

#include "util/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* The parent's part: the child has died if its end of the pipe is closed before it wrote. */
__attribute__((noreturn)) static void wait_for_child(int fd)
{
    char byte;
    ssize_t n;

    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    _exit(n == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

int daemonize(void)
{
    int ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0)
        return -errno;
    if (child > 0) {
        fd_close(ends[1]);
        wait_for_child(ends[0]);
    }
    fd_close(ends[0]);
    (void)setsid();
    return ends[1];
}

void daemonize_done(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)fflush(NULL);
    for (int standard = 0; null >= 0 && standard <= 2; standard++)
        (void)dup2(null, standard);
    if (null > 2)
        fd_close(null);
    (void)!write(fd, "", 1);
    fd_close(fd);
}
