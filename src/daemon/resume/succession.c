/* SPDX-License-Identifier: MIT */
#include "daemon/resume/succession.h"

#include "daemon/resume/inherit.h"
#include "daemon/resume/manifest.h"
#include "daemon/resume/record.h"
#include "daemon/share.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/fd-list.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 10000 /* for each step of the other, in which nobody is served */
#define RETRY_MS    1     /* until descriptors that are on their way may have been received */

static int say(int sock, SuccessionByte byte)
{
    char text = (char)byte;

    return send(sock, &text, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* seccomp: poll ppoll recvfrom */
static int hear(int sock, SuccessionByte expected, int timeout_ms)
{
    struct pollfd event = {.fd = sock, .events = POLLIN};
    char byte;
    ssize_t n;
    int r;

    do {
        r = poll(&event, 1, timeout_ms);
    } while (r < 0 && errno == EINTR);
    if (r <= 0)
        return r < 0 ? -errno : -ETIMEDOUT;
    n = recv(sock, &byte, 1, 0);
    if (n <= 0)
        return n < 0 ? -errno : -ECONNRESET;
    return byte == (char)expected ? 0 : -EPROTO;
}

/* The socket's buffer, and what the kernel lets be on its way, empty as the other receives. */
static int send_all(int sock, const int *fds, uint32_t n)
{
    int64_t deadline = deadline_after(PATIENCE_MS);
    uint32_t sent = 0;

    while (sent < n) {
        struct pollfd event = {.fd = sock};
        int r = parcel_send(sock, fds + sent, n - sent);

        if (r > 0) {
            sent += (uint32_t)r;
            continue;
        }
        if (r != -EAGAIN && r != -ETOOMANYREFS && r != -ENOBUFS)
            return r;
        if (deadline_left(deadline) == 0)
            return -ETIMEDOUT;
        event.events = r == -EAGAIN ? POLLOUT : 0;
        (void)poll(&event, 1, r == -EAGAIN ? deadline_left(deadline) : RETRY_MS);
        if (event.revents & POLLHUP)
            return -ECONNRESET;
    }
    return 0;
}

static int send_everything(const Daemon *daemon, int sock)
{
    _cleanup_(fd_list_free) FdList list = {0};

    record_each_fd(daemon, fd_list_add, &list);
    return list.is_short ? -ENOMEM : send_all(sock, list.fds, list.n);
}

/* From GO on. Written down before it is said: a next worker must wait, too. */
static int let_go(Daemon *daemon, int sock)
{
    int r = fcntl(sock, F_DUPFD_CLOEXEC, 0);

    if (r < 0)
        return -errno;
    daemon->successor_fd = r;
    r = record_write(daemon);
    return r < 0 ? r : say(sock, SUCCESSION_GO);
}

/* Written down before the descriptor is closed: a next worker would take whatever has its number
 * then for the connection. */
static void forget(Daemon *daemon, int *connection)
{
    int fd = fd_steal(connection);

    (void)record_write(daemon);
    fd_close(fd);
}

static int fail(Daemon *daemon, int r, const char *step, ErrorText *error)
{
    forget(daemon, &daemon->successor_fd);
    return error_set(error, r, "the take-over failed when %s: %s; this server goes on", step,
                     strerror(-r));
}

int succession_check(const Daemon *daemon, ErrorText *error)
{
    if (getenv("NOTIFY_SOCKET"))
        return error_set(
            error, -EPERM,
            "the server runs under a service manager, which would take its end for the "
            "service's: restart the service instead");
    if (daemon->manifest_fd < 0)
        return error_set(error, -EINVAL, "the server keeps no state that could be handed over");
    return 0;
}

static int await(Daemon *daemon, ErrorText *error)
{
    int r = hear(daemon->successor_fd, SUCCESSION_SERVING, -1);

    return r < 0 ? fail(daemon, r, "the successor was to serve", error) : 0;
}

/* Once too often does no harm. */
int succession_await(Daemon *daemon, ErrorText *error)
{
    (void)say(daemon->successor_fd, SUCCESSION_GO);
    return await(daemon, error);
}

int succession_hand_over(Daemon *daemon, int sock, ErrorText *error)
{
    int r = hear(sock, SUCCESSION_READY, PATIENCE_MS);

    if (r < 0)
        return fail(daemon, r, "the successor was to be ready", error);
    share_lift_limit();
    r = send_everything(daemon, sock);
    share_limit(daemon);
    if (r < 0)
        return fail(daemon, r, "the descriptors were sent", error);
    r = hear(sock, SUCCESSION_PREPARED, PATIENCE_MS);
    if (r < 0)
        return fail(daemon, r, "the successor was to prepare itself", error);
    r = let_go(daemon, sock);
    return r < 0 ? fail(daemon, r, "the successor was to begin", error) : await(daemon, error);
}

/* What a predecessor hands over is done, such as removing the pidfile that it names: anybody could
 * have put his own socket at the path first. It shows who has called listen() there. */
static int check_owner(int sock, const char *control, uid_t run_uid, ErrorText *error)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return error_set(error, -errno, "cannot tell whose server listens at %s: %s", control,
                         strerror(errno));
    if (peer.uid == 0 || peer.uid == geteuid() || peer.uid == run_uid)
        return 0;
    return error_set(error, -EPERM,
                     "cannot take over: the server at %s is of user %u, who is neither root nor "
                     "whom this one is to run as (--user)",
                     control, (unsigned)peer.uid);
}

static int receive_all(Parcel *parcel, int sock)
{
    struct pollfd event = {.fd = sock, .events = POLLIN};
    uint32_t left = 1;

    while (left) {
        int r = parcel_receive(parcel, sock, &left);

        if (r == -EAGAIN && poll(&event, 1, PATIENCE_MS) == 0)
            return -ETIMEDOUT;
        if (r < 0 && r != -EAGAIN)
            return r;
    }
    return 0;
}

static int refused(const Succession *succession, ErrorText *error)
{
    return error_set(error, -ECONNREFUSED, "cannot take over: %s", succession->qmp.error.text);
}

/* What it serves. An earlier version has no such command, says so, and serves on. */
static int learn(Succession *succession, Daemon *daemon, ErrorText *error)
{
    json_t *text = qmp_ask(&succession->qmp, "query-manifest", NULL);
    int r = daemon->manifest_fd = manifest_new();

    succession->is_known = text;
    if (r >= 0 && text)
        r = manifest_store(daemon->manifest_fd, json_incref(text));
    json_decref(text);
    return r < 0 ? error_set(error, r, "no room for the manifest: %s", strerror(-r)) : 0;
}

int succession_meet(Succession *succession, Daemon *daemon, const char *control, ErrorText *error)
{
    Qmp *qmp = &succession->qmp;
    int r;

    if (qmp_open(qmp, control, PATIENCE_MS) < 0)
        return refused(succession, error);
    r = check_owner(qmp->fd, control, daemon->context.run_uid, error);
    return r < 0 ? r : learn(succession, daemon, error);
}

/* Asks for everything. @return number of the manifest there, or a negative errno with the reason */
static int ask(Succession *succession, ErrorText *error)
{
    json_auto_t *answer = qmp_ask(&succession->qmp, "take-over", NULL);
    int manifest;

    if (!answer)
        return refused(succession, error);
    if (json_unpack(answer, "{s:i}", "manifest", &manifest) < 0 || manifest < 0)
        return error_set(error, -EPROTO, "cannot take over: %s gives no manifest",
                         succession->qmp.path);
    return manifest;
}

int succession_receive(Succession *succession, Daemon *daemon, ErrorText *error)
{
    _cleanup_(parcel_free) Parcel parcel = {0};
    int sock = succession->qmp.fd;
    int manifest = ask(succession, error), r;

    if (manifest < 0)
        return manifest;
    r = say(sock, SUCCESSION_READY);
    if (r == 0)
        r = receive_all(&parcel, sock);
    if (r < 0)
        return error_set(error, r, "cannot take over: not all descriptors have come: %s",
                         r == -EBADMSG ? "too many for this process (see ulimit -n)"
                                       : strerror(-r));
    r = inherit(&parcel, manifest, sock, daemon->manifest_fd, error);
    if (r == 0)
        daemon->predecessor_fd = fd_steal(&succession->qmp.fd);
    return r;
}

void succession_free(Succession *succession)
{
    qmp_close(&succession->qmp);
}

int succession_prepared(Daemon *daemon, ErrorText *error)
{
    int r = say(daemon->predecessor_fd, SUCCESSION_PREPARED);

    if (r == 0)
        r = hear(daemon->predecessor_fd, SUCCESSION_GO, PATIENCE_MS);
    return r < 0 ? error_set(error, r, "cannot take over: the running server does not let go: %s",
                             strerror(-r))
                 : 0;
}

/* Whether it hears it or has died: it is we who serve. */
void succession_serving(Daemon *daemon)
{
    (void)say(daemon->predecessor_fd, SUCCESSION_SERVING);
    daemon->is_alone = true;
    forget(daemon, &daemon->predecessor_fd);
}
