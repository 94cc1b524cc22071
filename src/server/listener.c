/* SPDX-License-Identifier: MIT */
#include "server/listener.h"

#include "util/address.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

#define LOCK_SUFFIX ".lock"

static int take_lock(Listener *listener, ErrorText *error)
{
    char path[PATH_MAX + sizeof(LOCK_SUFFIX)];
    _cleanup_close_ int fd = -1;

    (void)snprintf(path, sizeof(path), "%s" LOCK_SUFFIX, listener->path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(error, -errno, "cannot open the lock file %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? error_set(error, -EADDRINUSE, "another server listens at %s (it holds %s)",
                               listener->path, path)
                   : error_set(error, -errno, "cannot lock %s: %s", path, strerror(errno));
    listener->lock_fd = fd_steal(&fd);
    return 0;
}

/* Whether somebody accepts connections at the address; a negative errno if that cannot be told. */
static int is_live(const struct sockaddr_un *address)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
        return 1; /* EAGAIN: its backlog is full */
    return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

/* Makes sure that nothing is at the path: a dead server's socket is removed, all else is refused.
 */
static int clear_path(const struct sockaddr_un *address, ErrorText *error)
{
    struct stat found;
    int r;

    if (lstat(address->sun_path, &found) < 0)
        return errno == ENOENT ? 0
                               : error_set(error, -errno, "cannot look at %s: %s",
                                           address->sun_path, strerror(errno));
    if (!S_ISSOCK(found.st_mode))
        return error_set(error, -ENOTSOCK, "%s exists and is not a socket; it is left alone",
                         address->sun_path);
    r = is_live(address);
    if (r > 0)
        return error_set(error, -EADDRINUSE, "another server listens at %s", address->sun_path);
    if (r < 0)
        return error_set(error, r, "cannot tell whether a server listens at %s: %s",
                         address->sun_path, strerror(-r));
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return error_set(error, -errno, "cannot remove the dead server's socket %s: %s",
                         address->sun_path, strerror(errno));
    return 0;
}

static int bind_and_listen(Listener *listener, const struct sockaddr_un *address, int backlog,
                           ErrorText *error)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat made;

    if (fd < 0)
        return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return error_set(error, -errno, "cannot bind the socket %s: %s", address->sun_path,
                         strerror(errno));
    if (listen(fd, backlog) < 0 || lstat(address->sun_path, &made) < 0) {
        int r = -errno;

        (void)unlink(address->sun_path);
        return error_set(error, r, "cannot listen at %s: %s", address->sun_path, strerror(-r));
    }
    listener->device = made.st_dev;
    listener->inode = made.st_ino;
    listener->fd = fd_steal(&fd);
    return 0;
}

int listener_open(Listener *listener, const char *path, int backlog, ErrorText *error)
{
    struct sockaddr_un address;
    int r = address_of_path(path, &address);

    *listener = (Listener){.fd = -1, .lock_fd = -1};
    if (r < 0)
        return error_set(error, r, "the socket path %s has %zu bytes; at most %zu are possible",
                         path, strlen(path), sizeof(address.sun_path) - 1);
    (void)snprintf(listener->path, sizeof(listener->path), "%s", path);
    r = take_lock(listener, error);
    if (r == 0)
        r = clear_path(&address, error);
    if (r == 0)
        r = bind_and_listen(listener, &address, backlog, error);
    if (r < 0)
        listener_close(listener);
    return r;
}

void listener_close(Listener *listener)
{
    struct stat found;

    if (listener->fd >= 0 && lstat(listener->path, &found) == 0 &&
        found.st_dev == listener->device && found.st_ino == listener->inode)
        (void)unlink(listener->path);
    listener->fd = fd_close(listener->fd);
    listener->lock_fd = fd_close(listener->lock_fd);
}
