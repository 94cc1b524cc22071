/* SPDX-License-Identifier: MIT */
#include "daemon/pidfile.h"

#include "util/cleanup.h"
#include "util/trust.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int complain(const char *path, const char *what, int error)
{
    (void)fprintf(stderr, "ivshmem-server: cannot %s the pidfile %s: %s\n", what, path,
                  error == EWOULDBLOCK ? "a running daemon holds it" : strerror(error));
    return -error;
}

/* Whether the file can be ours. Somebody may have put a link here, for us to overwrite a file. */
static int check(int fd, const char *path, uid_t owner)
{
    struct stat found;
    const char *why;

    if (fstat(fd, &found) < 0)
        return complain(path, "look at", errno);
    why = S_ISREG(found.st_mode) ? trust_reason_against(&found, owner) : "is not a file";
    if (!why)
        return 0;
    (void)fprintf(stderr, "ivshmem-server: the pidfile %s %s: it is not used\n", path, why);
    return -EPERM;
}

int pidfile_open(Pidfile *pidfile, const char *path, uid_t owner)
{
    _cleanup_close_ int fd =
        open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    /* A lock that needs the right to write: whoever may only read the file cannot take it. */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int r;

    if (strlen(path) >= sizeof(pidfile->path))
        return complain(path, "open", ENAMETOOLONG);
    if (fd < 0)
        return complain(path, "open", errno);
    r = check(fd, path, owner);
    if (r < 0)
        return r;
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        return complain(path, "lock", errno == EACCES ? EWOULDBLOCK : errno);
    if (owner != (uid_t)-1 && fchown(fd, owner, (gid_t)-1) < 0)
        return complain(path, "give away", errno);
    strcpy(pidfile->path, path);
    pidfile->fd = fd;
    r = pidfile_write(pidfile, getpid());
    if (r < 0) {
        pidfile->fd = -1;
        return complain(path, "write", -r);
    }
    (void)fd_steal(&fd);
    return 0;
}

/* seccomp: ftruncate pwrite64 */
int pidfile_write(const Pidfile *pidfile, pid_t pid)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%ld\n", (long)pid);

    if (pidfile->fd < 0)
        return 0;
    /* In this order, so that nobody ever reads an empty file. */
    return pwrite(pidfile->fd, text, (size_t)n, 0) != n || ftruncate(pidfile->fd, n) < 0 ? -errno
                                                                                         : 0;
}

/* seccomp: unlink unlinkat ftruncate */
void pidfile_close(Pidfile *pidfile)
{
    if (pidfile->fd >= 0 && unlink(pidfile->path) < 0)
        (void)!ftruncate(pidfile->fd, 0);
    pidfile->fd = fd_close(pidfile->fd);
}
