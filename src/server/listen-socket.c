/* SPDX-License-Identifier: MIT */
#include "server/listen-socket.h"

#include "util/address.h"
#include "util/cleanup.h"
#include "util/folder.h"
#include "util/trust.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

typedef char LockPath[PATH_MAX + sizeof(LISTEN_SOCKET_LOCK)];

static int fail_to_lock(const ListenSpec *spec, const char *path, ErrorText *error)
{
    return error_set(error, -errno, "cannot listen at %s: cannot open its lock file %s: %s%s",
                     spec->path, path, trust_open_reason(errno),
                     errno == EACCES ? " (is it another user's?)" : "");
}

/* Whether a lock file can be ours. */
static int check_lock(int fd, const ListenSpec *spec, const char *path, ErrorText *error)
{
    struct stat found;
    const char *why;

    if (fstat(fd, &found) < 0)
        return error_set(error, -errno, "cannot look at the lock file %s: %s", path,
                         strerror(errno));
    why = S_ISREG(found.st_mode) ? trust_reason_against(&found, spec->uid, (gid_t)-1)
                                 : "is not a file";
    return why ? error_set(error, -EPERM, "the lock file %s %s: it is not used", path, why) : 0;
}

/* seccomp-change: openat open fstat newfstatat flock */
static int take_lock(ListenSocket *self, const ListenSpec *spec, ErrorText *error)
{
    _cleanup_close_ int fd = -1;
    LockPath path;
    int r;

    (void)snprintf(path, sizeof(path), "%s" LISTEN_SOCKET_LOCK, self->path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_to_lock(spec, path, error);
    r = check_lock(fd, spec, path, error);
    if (r < 0)
        return r;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? error_set(error, -EADDRINUSE, "another server listens at %s (it holds %s)",
                               self->path, path)
                   : error_set(error, -errno, "cannot lock %s: %s", path, strerror(errno));
    self->lock_fd = fd_steal(&fd);
    return 0;
}

/* Whether somebody accepts connections at the address; a negative errno if that cannot be told.
 * seccomp-change: socket(0&UINT32_MAX=AF_UNIX) connect */
static int is_live(const struct sockaddr_un *address)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
        return 1; /* EAGAIN: its backlog is full */
    return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

/* Looks at what is at the path. @return 1: a socket, 0: nothing, or a negative errno with the
 * reason */
static int look_at_path(const char *path, struct stat *found, ErrorText *error)
{
    if (lstat(path, found) < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(error, -errno, "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISSOCK(found->st_mode))
        return error_set(error, -ENOTSOCK, "%s exists and is not a socket; it is left alone", path);
    return 1;
}

static int check_dead(const char *path, const struct stat *found, const ListenSpec *spec,
                      ErrorText *error)
{
    const char *why = trust_reason_against(found, spec->uid, (gid_t)-1);

    return why ? error_set(error, -EPERM, "the dead server's socket %s %s: it is left alone", path,
                           why)
               : 0;
}

/* Makes sure that nothing is at the path: a dead server's socket is removed, all else is refused.
 */
static int clear_path(const struct sockaddr_un *address, const ListenSpec *spec, ErrorText *error)
{
    struct stat found;
    int r = look_at_path(address->sun_path, &found, error);

    if (r <= 0)
        return r;
    r = is_live(address);
    if (r > 0)
        return error_set(error, -EADDRINUSE, "another server listens at %s", address->sun_path);
    if (r < 0)
        return error_set(error, r, "cannot tell whether a server listens at %s: %s",
                         address->sun_path, strerror(-r));
    r = check_dead(address->sun_path, &found, spec, error);
    if (r < 0)
        return r;
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return error_set(error, -errno, "cannot remove the dead server's socket %s: %s",
                         address->sun_path, strerror(errno));
    return 0;
}

/* Gives the socket at the path its owner and mode: the mode first, which somebody else's is not
 * ours to set. Whoever can rename what is there could have put another of our files in its place.
 * @return 0, -EEXIST if so, or another negative errno. seccomp-change: chmod fchmodat fchownat */
static int set_rights(ListenSocket *self, const ListenSpec *spec)
{
    _cleanup_close_ int fd = open(self->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char itself[sizeof("/proc/self/fd/") + 16];
    struct stat made;

    if (fd < 0 || fstat(fd, &made) < 0)
        return -errno;
    if (!S_ISSOCK(made.st_mode) || made.st_uid != geteuid() || made.st_nlink != 1)
        return -EEXIST;
    self->device = made.st_dev;
    self->inode = made.st_ino;
    (void)snprintf(itself, sizeof(itself), "/proc/self/fd/%d", fd);
    if (spec->mode >= 0 && chmod(itself, (mode_t)spec->mode) < 0)
        return -errno;
    return (spec->uid != (uid_t)-1 || spec->gid != (gid_t)-1) &&
                   fchownat(fd, "", spec->uid, spec->gid, AT_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

/* A socket inherits its mode from the one that it is bound from, less the umask (unix_bind_bsd() in
 * net/unix/af_unix.c); and it takes no connection before listen().
 * seccomp-change: socket(0&UINT32_MAX=AF_UNIX) fchmod bind listen */
static int bind_and_listen(ListenSocket *self, const ListenSpec *spec,
                           const struct sockaddr_un *address, ErrorText *error)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r;

    if (fd < 0 || (spec->mode >= 0 && fchmod(fd, 0) < 0))
        return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return error_set(error, -errno, "cannot bind the socket %s: %s", address->sun_path,
                         strerror(errno));
    r = set_rights(self, spec);
    if (r == 0 && listen(fd, spec->backlog) < 0)
        r = -errno;
    if (r == -EEXIST)
        return error_set(error, r,
                         "somebody has put something else at %s, where the socket was made; it is "
                         "left alone",
                         address->sun_path);
    if (r < 0) {
        (void)unlink(address->sun_path);
        return error_set(error, r, "cannot listen at %s: %s", address->sun_path, strerror(-r));
    }
    self->fd = fd_steal(&fd);
    return 0;
}

/* Why a descriptor cannot be the socket that listens at an address, or NULL.
 * seccomp-change: getsockname getsockopt */
static const char *reason_against(int fd, const struct sockaddr_un *address)
{
    struct sockaddr_un bound = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof(bound);
    int type = 0, listens = 0;
    socklen_t type_size = sizeof(type), listens_size = sizeof(listens);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &size) < 0)
        return strerror(errno);
    if (bound.sun_family != AF_UNIX || type != SOCK_STREAM)
        return "it is not a Unix stream socket";
    if (strncmp(bound.sun_path, address->sun_path, sizeof(bound.sun_path)) != 0)
        return "it is bound to another path";
    return listens ? NULL : "it does not listen";
}

/* Whoever connects is shown who called listen() last (init_peercred() in net/unix/af_unix.c), and
 * it sets the backlog. seccomp-change: fcntl listen */
static int use_given(ListenSocket *self, const ListenSpec *spec, const struct sockaddr_un *address,
                     ErrorText *error)
{
    const char *why = reason_against(spec->fd, address);
    _cleanup_close_ int fd = -1;

    if (why)
        return error_set(error, -EINVAL, "the descriptor %d that was given for %s: %s", spec->fd,
                         spec->path, why);
    fd = fcntl(spec->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || listen(fd, spec->backlog) < 0)
        return error_set(error, -errno, "cannot listen at %s: %s", spec->path, strerror(errno));
    self->inode = 0;
    self->fd = fd_steal(&fd);
    return 0;
}

static int make_address(const ListenSpec *spec, struct sockaddr_un *out, ErrorText *error)
{
    int r = address_of_path(spec->path, out);

    return r < 0 ? error_set(error, r, "the socket path %s has %zu bytes; at most %zu are possible",
                             spec->path, strlen(spec->path), sizeof(out->sun_path) - 1)
                 : 0;
}

static int check_folder(const ListenSpec *spec, const char *lock, ErrorText *error)
{
    char folder[PATH_MAX];
    _cleanup_close_ int fd = open(folder_of(spec->path, folder), O_PATH | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0
               ? fail_to_lock(spec, lock, error)
               : 0;
}

int listen_socket_check(const ListenSpec *spec, ErrorText *error)
{
    _cleanup_close_ int fd = -1;
    struct sockaddr_un address;
    struct stat found;
    LockPath lock;
    int r = make_address(spec, &address, error);

    if (r < 0)
        return r;
    (void)snprintf(lock, sizeof(lock), "%s" LISTEN_SOCKET_LOCK, spec->path);
    r = check_folder(spec, lock, error);
    if (r < 0)
        return r;
    fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT)
        return fail_to_lock(spec, lock, error);
    if (fd >= 0 && (r = check_lock(fd, spec, lock, error)) < 0)
        return r;
    r = look_at_path(spec->path, &found, error);
    return r <= 0 ? r : check_dead(spec->path, &found, spec, error);
}

int listen_socket_lock(ListenSocket *self, const ListenSpec *spec, ErrorText *error)
{
    struct sockaddr_un address;
    int r = make_address(spec, &address, error);

    *self = LISTEN_SOCKET_NONE;
    if (r < 0)
        return r;
    (void)snprintf(self->path, sizeof(self->path), "%s", spec->path);
    return take_lock(self, spec, error);
}

int listen_socket_open(ListenSocket *self, const ListenSpec *spec, ErrorText *error)
{
    struct sockaddr_un address;
    int r;

    (void)address_of_path(spec->path, &address); /* it could be locked */
    if (spec->fd >= 0)
        return use_given(self, spec, &address, error);
    r = clear_path(&address, spec, error);
    return r < 0 ? r : bind_and_listen(self, spec, &address, error);
}

int listen_socket_clear(const ListenSpec *spec, ErrorText *error)
{
    struct sockaddr_un address;
    ListenSocket socket;
    int r = listen_socket_lock(&socket, spec, error);

    if (r < 0)
        return r;
    (void)address_of_path(spec->path, &address); /* it could be locked */
    r = clear_path(&address, spec, error);
    listen_socket_close(&socket);
    return r;
}

/* The lock is given up by word: a child of the host program may hold a copy of it.
 * seccomp: lstat newfstatat unlink unlinkat flock */
void listen_socket_close(ListenSocket *self)
{
    struct stat found;

    if (self->fd >= 0 && self->inode && lstat(self->path, &found) == 0 &&
        found.st_dev == self->device && found.st_ino == self->inode)
        (void)unlink(self->path);
    if (self->lock_fd >= 0)
        (void)flock(self->lock_fd, LOCK_UN);
    self->fd = fd_close(self->fd);
    self->lock_fd = fd_close(self->lock_fd);
}
