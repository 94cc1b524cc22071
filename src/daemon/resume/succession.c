/* SPDX-License-Identifier: MIT */
#include "daemon/resume/succession.h"

#include "daemon/resume/manifest.h"
#include "daemon/resume/record.h"
#include "daemon/share.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/fd-list.h"
#include "util/fdpass.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 10000                /* for each step of the other, in which nobody is served */
#define WORTHWHILE  (FDPASS_MAX_FDS / 2) /* descriptors that are passed ahead, in a message */
#define RETRY_MS    1 /* until descriptors that are on their way may have been received */

static int say(int sock, SuccessionByte byte)
{
    char text = (char)byte;

    return send(sock, &text, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* What has been said, without waiting. @return it or a negative errno. seccomp: recvfrom */
static int take_byte(int sock, int flags)
{
    char byte;
    ssize_t n = recv(sock, &byte, 1, MSG_DONTWAIT | flags);

    return n > 0 ? (unsigned char)byte : n < 0 ? -errno : -ECONNRESET;
}

/* seccomp: poll ppoll */
static int await_byte(int sock, int timeout_ms)
{
    struct pollfd event = {.fd = sock, .events = POLLIN};
    int r;

    do {
        r = poll(&event, 1, timeout_ms);
    } while (r < 0 && errno == EINTR);
    if (r <= 0)
        return r < 0 ? -errno : -ETIMEDOUT;
    return 0;
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

static int send_rest(const Daemon *daemon, int sock)
{
    _cleanup_(fd_list_free) FdList list = {0};

    record_each_fd_left(daemon, fd_list_add, &list);
    return list.is_short ? -ENOMEM : send_all(sock, list.fds, list.n);
}

/* A next worker must wait as this one does from GO on. Written down well before it is said: the
 * other has something to do meanwhile. */
static int write_down(Daemon *daemon, int sock)
{
    int r = fcntl(sock, F_DUPFD_CLOEXEC, 0);

    if (r < 0)
        return -errno;
    daemon->successor_fd = r;
    return record_write(daemon);
}

/* Written down before the descriptor is closed: a next worker would take whatever has its number
 * then for the connection. If it cannot be, the connection has ended all the same. */
static void forget(Daemon *daemon, int *connection)
{
    int fd = fd_steal(connection);

    (void)shutdown(fd, SHUT_RDWR);
    if (record_write(daemon) == 0)
        fd_close(fd);
    else
        *connection = fd;
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

/* A byte that the successor has said after READY. All stays on the connection, for a next worker:
 * whether this one has said GO follows from whether there is PREPARED. */
static int peek_at(int sock, int offset, int flags)
{
    char byte;
    ssize_t n;

    if (setsockopt(sock, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) < 0)
        return -errno;
    do {
        n = recv(sock, &byte, 1, MSG_PEEK | flags);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? (unsigned char)byte : n < 0 ? -errno : -ECONNRESET;
}

static int hear_prepared(int sock)
{
    int r = await_byte(sock, PATIENCE_MS);

    if (r == 0)
        r = peek_at(sock, 0, MSG_DONTWAIT);
    return r < 0 ? r : r == SUCCESSION_PREPARED ? 0 : -EPROTO;
}

/* The next byte. It cannot be polled for: there is one that can be read. */
static int hear_serving(int sock)
{
    int flags = fcntl(sock, F_GETFL), r;

    if (flags < 0 || fcntl(sock, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return -errno;
    r = peek_at(sock, 1, 0);
    return r < 0 ? r : r == SUCCESSION_SERVING ? 0 : -EPROTO;
}

/* To say GO once too often does no harm. */
int succession_await(Daemon *daemon, ErrorText *error)
{
    int r = hear_prepared(daemon->successor_fd);

    if (r < 0)
        return fail(daemon, r, "the successor was to prepare itself", error);
    r = say(daemon->successor_fd, SUCCESSION_GO);
    if (r == 0 || r == -EPIPE) /* it may have said all, to a worker before this one */
        r = hear_serving(daemon->successor_fd);
    return r < 0 ? fail(daemon, r, "the successor was to serve", error) : 0;
}

static int hand_over(Daemon *daemon, int sock, ErrorText *error)
{
    int r;

    share_lift_limit();
    r = send_rest(daemon, sock);
    share_limit(daemon);
    if (r < 0)
        return fail(daemon, r, "the descriptors were sent", error);
    r = write_down(daemon, sock);
    return r < 0 ? fail(daemon, r, "that was to be written down", error)
                 : succession_await(daemon, error);
}

void succession_begin(const Daemon *daemon)
{
    for (DaemonRegion *region = daemon->regions; region; region = region->next)
        ivshmem_server_pass_begin(&region->server);
}

/* One message: the other has received all that was sent before, so there is room for it. */
static int pass(const Daemon *daemon, int sock, const FdList *list)
{
    int r;

    if (list->is_short)
        return -ENOMEM;
    share_lift_limit();
    r = parcel_send(sock, list->fds, list->n);
    share_limit(daemon);
    if (r == -ETOOMANYREFS || r == -ENOBUFS) {
        succession_begin(daemon); /* it is left for the rest, which can wait until there is room */
        r = parcel_send(sock, NULL, 0);
        return r < 0 ? r : 0;
    }
    return r < 0 ? r : r == (int)list->n ? 0 : -ENOBUFS;
}

static int pass_states(const Daemon *daemon, int sock)
{
    _cleanup_(fd_list_free) FdList list = {0};

    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        fd_list_add(&list, region->state_fd);
    return pass(daemon, sock, &list);
}

/* A message full, of whole clients. Those that do not fit in one are left for the rest. */
static int pass_more(const Daemon *daemon, int sock)
{
    _cleanup_(fd_list_free) FdList list = {0};
    uint32_t n = 0;

    for (DaemonRegion *region = daemon->regions; region && n < FDPASS_MAX_FDS;
         region = region->next)
        n += ivshmem_server_pass(&region->server, FDPASS_MAX_FDS - n, fd_list_add, &list);
    return pass(daemon, sock, &list);
}

int succession_hand_over(Daemon *daemon, int sock, ErrorText *error)
{
    int r = take_byte(sock, 0);

    switch (r) {
    case SUCCESSION_READY:
        return hand_over(daemon, sock, error);
    case SUCCESSION_STATES:
        r = pass_states(daemon, sock);
        break;
    case SUCCESSION_MORE:
        r = pass_more(daemon, sock);
        break;
    default:
        if (r == -EAGAIN || r == -EINTR)
            return SUCCESSION_GOES_ON;
        return fail(daemon, r < 0 ? r : -EPROTO, "the successor was to be ready", error);
    }
    return r < 0 ? fail(daemon, r, "descriptors were sent ahead", error) : SUCCESSION_GOES_ON;
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

/* Asks for everything. */
static int ask(Succession *succession, ErrorText *error)
{
    json_auto_t *answer = qmp_ask(&succession->qmp, "take-over", NULL);
    int passes_ahead = 0; /* a version that does not says nothing */

    if (!answer)
        return refused(succession, error);
    if (json_unpack(answer, "{s:i, s?b}", "manifest", &succession->manifest, "passes-ahead",
                    &passes_ahead) < 0 ||
        succession->manifest < 0)
        return error_set(error, -EPROTO, "cannot take over: %s gives no manifest",
                         succession->qmp.path);
    succession->passes_ahead = passes_ahead;
    return 0;
}

static int receive_ahead(Parcel *parcel, int sock)
{
    int64_t deadline = deadline_after(PATIENCE_MS);
    uint32_t before;
    int r = say(sock, SUCCESSION_STATES);

    parcel->is_renewed = true; /* clients come and go meanwhile */
    if (r == 0)
        r = receive_all(parcel, sock);
    do {
        before = parcel->n_came;
        if (r == 0 && (r = say(sock, SUCCESSION_MORE)) == 0)
            r = receive_all(parcel, sock);
    } while (r == 0 && parcel->n_came - before >= WORTHWHILE && deadline_left(deadline) > 0);
    return r;
}

static int incomplete(int r, ErrorText *error)
{
    return error_set(error, r, "cannot take over: not all descriptors have come: %s",
                     r == -EBADMSG ? "too many for this process (see ulimit -n)" : strerror(-r));
}

int succession_look_ahead(Succession *succession, const Daemon *daemon, ErrorText *error)
{
    int r = ask(succession, error);

    if (r < 0 || !succession->passes_ahead)
        return r;
    r = receive_ahead(&succession->inheritance.ahead, succession->qmp.fd);
    if (r < 0)
        return incomplete(r, error);
    inherit_ahead(&succession->inheritance, daemon->manifest_fd);
    return 0;
}

int succession_receive(Succession *succession, Daemon *daemon, ErrorText *error)
{
    int sock = succession->qmp.fd;
    int r = succession->manifest < 0 ? ask(succession, error) : 0;

    if (r < 0)
        return r;
    r = say(sock, SUCCESSION_READY);
    if (r == 0)
        r = receive_all(&succession->inheritance.rest, sock);
    if (r < 0)
        return incomplete(r, error);
    r = inherit(&succession->inheritance, succession->manifest, sock, daemon->manifest_fd, error);
    if (r == 0)
        daemon->predecessor_fd = fd_steal(&succession->qmp.fd);
    return r;
}

void succession_free(Succession *succession)
{
    inheritance_free(&succession->inheritance);
    qmp_close(&succession->qmp);
}

static int does_not_let_go(int r, ErrorText *error)
{
    return error_set(error, r, "cannot take over: the running server does not let go: %s",
                     strerror(-r));
}

int succession_prepared(const Daemon *daemon, ErrorText *error)
{
    int r = say(daemon->predecessor_fd, SUCCESSION_PREPARED);

    return r < 0 ? does_not_let_go(r, error) : 0;
}

/* What it says is left there: for the worker, and for the next one, should that be killed. */
int succession_may_serve(const Daemon *daemon, ErrorText *error)
{
    int r = await_byte(daemon->predecessor_fd, PATIENCE_MS);

    if (r == 0)
        r = take_byte(daemon->predecessor_fd, MSG_PEEK);
    if (r == SUCCESSION_GO)
        return 0;
    return does_not_let_go(r < 0 ? r : -EPROTO, error);
}

/* Whether it hears it or has died: it is we who serve. */
void succession_serving(Daemon *daemon)
{
    (void)say(daemon->predecessor_fd, SUCCESSION_SERVING);
    daemon->is_alone = true;
}

void succession_end(Daemon *daemon)
{
    forget(daemon, &daemon->predecessor_fd);
}
