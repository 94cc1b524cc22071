/* SPDX-License-Identifier: MIT */
#include "daemon/process/daemonize.h"

#include "util/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
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

/* A terminal or a pipe would be kept from ending; a log file is there for what we have to say. */
static bool is_file(int fd)
{
    struct stat found;

    return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

int daemonize_begin(Daemonize *daemonize)
{
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int ends[2];
    pid_t child;

    if (null < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    child = fork();
    if (child < 0) {
        fd_close(ends[0]);
        fd_close(ends[1]);
        return -errno;
    }
    if (child > 0) {
        fd_close(ends[1]);
        wait_for_child(ends[0]);
    }
    fd_close(ends[0]);
    (void)setsid();
    *daemonize = (Daemonize){ends[1], fd_steal(&null), is_file(STDERR_FILENO)};
    return 0;
}

/* seccomp: dup3 dup2 */
void daemonize_done(Daemonize *daemonize)
{
    if (daemonize->ready_fd < 0)
        return;
    (void)fflush(NULL);
    for (int standard = STDIN_FILENO; standard <= STDERR_FILENO; standard++)
        if (standard != STDERR_FILENO || !daemonize->keeps_stderr)
            (void)dup2(daemonize->null_fd, standard);
    (void)!write(daemonize->ready_fd, "", 1);
    daemonize_abandon(daemonize);
}

void daemonize_abandon(Daemonize *daemonize)
{
    daemonize->ready_fd = fd_close(daemonize->ready_fd);
    daemonize->null_fd = fd_close(daemonize->null_fd);
}
