/* SPDX-License-Identifier: MIT */
#include "daemon/process/pidfile.h"

#include "util/cleanup.h"
#include "util/trust.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define MOST_TRIES                                                                                 \
    1000 /* each for a daemon that has just ended, or for somebody who does not want us */

static int complain(const char *path, const char *what, int error)
{
    (void)fprintf(stderr, "ivshmem-server: cannot %s the pidfile %s: %s\n", what, path,
                  trust_open_reason(error));
    return -error;
}

/* A running daemon has it locked: which one, it has written there once it serves. */
static int complain_of_holder(int fd, const char *path)
{
    char text[16] = "";
    long pid = pread(fd, text, sizeof(text) - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;

    if (pid > 0)
        (void)fprintf(stderr,
                      "ivshmem-server: cannot lock the pidfile %s: a running daemon holds it, "
                      "process %ld\n",
                      path, pid);
    else
        (void)fprintf(stderr,
                      "ivshmem-server: cannot lock the pidfile %s: a running daemon holds it\n",
                      path);
    return -EWOULDBLOCK;
}

/* Whether the file can be ours. Somebody may have put a link here, for us to overwrite a file. */
static int check(int fd, const char *path, uid_t owner)
{
    struct stat found;
    const char *why;

    if (fstat(fd, &found) < 0)
        return complain(path, "look at", errno);
    why = S_ISREG(found.st_mode) ? trust_reason_against(&found, owner, (gid_t)-1) : "is not a file";
    if (!why)
        return 0;
    (void)fprintf(stderr, "ivshmem-server: the pidfile %s %s: it is not used\n", path, why);
    return -EPERM;
}

/* Whoever may read the file can keep us from locking it, by a lock that is for reading. A daemon's
 * is not: such a file is nobody's, and makes room for another. */
static int refuse_lock(int fd, const char *path, int error)
{
    struct flock other = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (error != EAGAIN && error != EACCES)
        return complain(path, "lock", error);
    if (fcntl(fd, F_OFD_GETLK, &other) < 0 || other.l_type != F_RDLCK)
        return complain_of_holder(fd, path);
    return unlink(path) < 0 ? complain(path, "replace", errno) : -ESTALE;
}

/* Opens and locks what is at the path now; -ESTALE if that has been removed since. */
static int lock_file(const char *path, uid_t owner)
{
    _cleanup_close_ int fd =
        open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat locked;
    int r;

    if (fd < 0)
        return complain(path, "open", errno);
    r = check(fd, path, owner);
    if (r < 0)
        return r;
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        return refuse_lock(fd, path, errno);
    if (fstat(fd, &locked) == 0 && locked.st_nlink == 0)
        return -ESTALE;
    return fd_steal(&fd);
}

int pidfile_open(Pidfile *pidfile, const char *path, uid_t owner)
{
    _cleanup_close_ int fd = -1;
    unsigned tries = 0;

    if (strlen(path) >= sizeof(pidfile->path))
        return complain(path, "open", ENAMETOOLONG);
    do {
        fd = lock_file(path, owner);
    } while (fd == -ESTALE && ++tries < MOST_TRIES);
    if (fd < 0)
        return fd == -ESTALE ? complain(path, "lock", EAGAIN) : fd;
    if (owner != (uid_t)-1 && fchown(fd, owner, (gid_t)-1) < 0)
        return complain(path, "give away", errno);
    if (ftruncate(fd, 0) < 0) /* nobody is to take a dead daemon's number for ours */
        return complain(path, "write", errno);
    strcpy(pidfile->path, path);
    pidfile->fd = fd_steal(&fd);
    return 0;
}

/* seccomp: ftruncate pwrite64 */
int pidfile_write(const Pidfile *pidfile, pid_t pid)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%ld\n", (long)pid);

    if (pidfile->fd < 0)
        return 0;
    /* In this order, so that nobody reads an empty file where a number was. */
    if (pwrite(pidfile->fd, text, (size_t)n, 0) != n || ftruncate(pidfile->fd, n) < 0)
        return complain(pidfile->path, "write", errno);
    return 0;
}

/* seccomp: unlink unlinkat ftruncate */
void pidfile_close(Pidfile *pidfile)
{
    if (pidfile->fd >= 0 && unlink(pidfile->path) < 0)
        (void)!ftruncate(pidfile->fd, 0);
    pidfile->fd = fd_close(pidfile->fd);
}
