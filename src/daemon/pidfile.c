/* SPDX-License-Identifier: MIT */
#include "daemon/pidfile.h"

#include "util/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

static int complain(const char *path, const char *what, int error)
{
    (void)fprintf(stderr, "ivshmem-server: cannot %s the pidfile %s: %s\n", what, path,
                  error == EWOULDBLOCK ? "a running daemon holds it" : strerror(error));
    return -error;
}

int pidfile_open(Pidfile *pidfile, const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    char text[16];
    int n;

    if (fd < 0)
        return complain(path, "open", errno);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return complain(path, "lock", errno);
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)n) != n)
        return complain(path, "write", errno);
    *pidfile = (Pidfile){path, fd_steal(&fd)};
    return 0;
}

void pidfile_close(Pidfile *pidfile)
{
    if (pidfile->fd >= 0)
        (void)unlink(pidfile->path);
    pidfile->fd = fd_close(pidfile->fd);
}
