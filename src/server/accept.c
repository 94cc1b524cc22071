/* SPDX-License-Identifier: MIT */
#include "server/accept.h"

#include "server/client.h"
#include "server/core.h"
#include "server/credentials.h"
#include "util/cleanup.h"
#include "util/open-fds.h"
#include "util/plural.h"
#include "util/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#define FDS_KEPT_FREE    32                 /* for what the host program opens after the start */
#define FDS_COUNTED      65536              /* are looked at: more are not open at the start */
#define ACCEPT_LATER     INT64_C(100000000) /* ns, when a connection cannot even be turned away */
#define GLANCE_LISTENERS 4                  /* are looked at */
#define GLANCE_TURN      16 /* connections of each: it adds less to a turn than accept_turn() */
#define NS_PER_S         INT64_C(1000000000)

static const char *const refusals[] = {
    [IVSHMEM_SERVER_REFUSED_NO_FD] = "out of file descriptors",
    [IVSHMEM_SERVER_REFUSED_NO_MEMORY] = "out of memory",
    [IVSHMEM_SERVER_REFUSED_UID_LIMIT] =
        "its user has as many clients as it may: max_clients_per_uid",
    [IVSHMEM_SERVER_REFUSED_NO_ID] = "every ID is in use",
    [IVSHMEM_SERVER_REFUSED_POLICY] = "it is not among those who may connect",
    [IVSHMEM_SERVER_REFUSED_READ_ONLY] = "the memory cannot be opened for reading only",
    [IVSHMEM_SERVER_REFUSED_RESERVED] = "the client that this socket is for is connected",
};

/* How many descriptors are open, of those below a limit. */
static unsigned count_open_fds(unsigned limit)
{
    uint64_t fds[BITMAP_WORDS(FDS_COUNTED)] = {0};

    bitmap_fill(fds, limit);
    return open_fds_keep(fds, limit) < 0 ? limit : bitmap_count(fds, limit);
}

unsigned accept_most_clients(unsigned n_vectors)
{
    struct rlimit limit;
    unsigned n_fds, n_used;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    n_fds = limit.rlim_cur > INT32_MAX ? INT32_MAX : (unsigned)limit.rlim_cur;
    n_used = count_open_fds(n_fds < FDS_COUNTED ? n_fds : FDS_COUNTED) + FDS_KEPT_FREE;
    if (n_fds <= n_used)
        return 0;
    n_fds = (n_fds - n_used) / (1 + n_vectors);
    return n_fds < WIRE_N_IDS ? n_fds : WIRE_N_IDS;
}

static void set_polled(ServerCore *core, Listener *listener, bool polled)
{
    int r = core_watch(core, EPOLL_CTL_MOD, listener->socket.fd, polled ? EPOLLIN : 0,
                       EVENT(EVENT_LISTENER, listener->index));

    if (r == 0) {
        core->n_waiting -= listener->accept.waiting;
        listener->accept.waiting = !polled;
        core->n_waiting += listener->accept.waiting;
    } else if (polled) {
        timers_set(&core->timers, TIMER_ACCEPT, deadline_now() + ACCEPT_LATER);
    }
}

void accept_resume(ServerCore *core, Listener *listener)
{
    if (listener->accept.waiting)
        set_polled(core, listener, true);
}

static void wait_until(ServerCore *core, Listener *listener, int64_t when)
{
    set_polled(core, listener, false);
    timers_set(&core->timers, TIMER_ACCEPT, when);
}

static void refuse(ServerCore *core, Listener *listener, IvshmemServerRefusal reason,
                   const IvshmemServerCredentials *who, unsigned limit)
{
    IvshmemServer *server = core->server;
    char value[16] = "";

    if (limit)
        (void)snprintf(value, sizeof(value), " %u", limit);
    listener->n_refusals++;
    core->state.header->stats.n_refusals[reason]++;
    core_log(server, LOG_WARNING, "client refused (%s, pid %d, uid %u, gid %u)%s%s: %s%s",
             credentials_command_again(&core->refused, who->pid), (int)who->pid, (unsigned)who->uid,
             (unsigned)who->gid, *listener->name ? " at " : "", listener->name, refusals[reason],
             value);
    if (server->config_.client_refused)
        server->config_.client_refused(server->config_.opaque, server, (int)listener->index, reason,
                                       who);
}

static IvshmemServerRefusal refusal_of(int error)
{
    switch (error) {
    case -ENOSPC:
        return IVSHMEM_SERVER_REFUSED_NO_ID;
    case -ENOMEM:
        return IVSHMEM_SERVER_REFUSED_NO_MEMORY;
    case -EACCES:
        return IVSHMEM_SERVER_REFUSED_READ_ONLY;
    case -EBUSY:
        return IVSHMEM_SERVER_REFUSED_RESERVED;
    default:
        return IVSHMEM_SERVER_REFUSED_NO_FD;
    }
}

static void tell_full(const ServerCore *core, const Listener *listener,
                      const IvshmemServerCredentials *who)
{
    bool own = listener->max_clients && listener->n_clients == listener->max_clients;
    unsigned limit = own ? listener->max_clients : core->state.header->max_clients;
    bool asked = limit == core->server->config_.max_clients && !core->limit_is_computed;
    const char *name = own || asked ? "max_clients" : "from RLIMIT_NOFILE";

    core_log(
        core->server, LOG_WARNING,
        "the limit of %u client%s (%s) is reached by pid %d, uid %u: more wait until one leaves",
        limit, plural(limit), name, (int)who->pid, (unsigned)who->uid);
}

/* How many clients the user has; if there seem to be so many, of those that linger looked at again.
 */
static unsigned count_clients(ServerCore *core, uid_t uid, unsigned most)
{
    if (uids_count(&core->uids, uid) >= most)
        linger_check_soon(core);
    return uids_count(&core->uids, uid);
}

/* Lets the client in, or turns it away before it has cost anything. The socket is taken over. */
static void admit(ServerCore *core, Listener *listener, int sock,
                  const IvshmemServerCredentials *who)
{
    const IvshmemServerConfig *config = &core->server->config_;
    _cleanup_close_ int owned = sock;
    IvshmemServerAdmission admission =
        config->admit ? config->admit(config->opaque, core->server, (int)listener->index, who)
                      : IVSHMEM_SERVER_ADMIT;
    int r;

    if (admission == IVSHMEM_SERVER_REFUSE) {
        refuse(core, listener, IVSHMEM_SERVER_REFUSED_POLICY, who, 0);
        return;
    }
    if (config->max_clients_per_uid &&
        count_clients(core, who->uid, config->max_clients_per_uid) >= config->max_clients_per_uid) {
        refuse(core, listener, IVSHMEM_SERVER_REFUSED_UID_LIMIT, who, config->max_clients_per_uid);
        return;
    }
    r = client_open(core, listener, sock, who,
                    listener->read_only || admission == IVSHMEM_SERVER_ADMIT_READ_ONLY);
    if (r < 0) {
        refuse(core, listener, refusal_of(r), who, 0);
        return;
    }
    (void)fd_steal(&owned);
    if (!listener_has_room(core, listener, 0, 0))
        tell_full(core, listener, who);
}

/* Out of descriptors: turns one client away with the one that is kept for it. False if there is
 * none: the kernel says that descriptors are out whether or not anybody waits. */
static bool refuse_with_reserve(ServerCore *core, Listener *listener)
{
    Credentials credentials;
    int sock;

    core->reserve_fd = fd_close(core->reserve_fd);
    sock = sys.accept4(listener->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock >= 0) {
        credentials_get(&credentials, sock);
        refuse(core, listener, IVSHMEM_SERVER_REFUSED_NO_FD, &credentials.who, 0);
        credentials_free(&credentials);
        fd_close(sock);
    } else if (errno != EAGAIN) {
        wait_until(core, listener, deadline_now() + ACCEPT_LATER);
    }
    core->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return sock >= 0;
}

/* One of those who wait is named: by his connection. */
static void tell_rate(const ServerCore *core, Listener *listener, int sock, int64_t now)
{
    Credentials credentials;

    if (listener->accept.told_at && now - listener->accept.told_at < TELL_AGAIN)
        return;
    listener->accept.told_at = now;
    credentials_get_peer(&credentials, sock);
    core_log(core->server, LOG_WARNING,
             "more clients connect to %s than max_accepts_per_s %u: pid %d, uid %u waits his turn",
             listener->socket.path, listener->accept.rate, (int)credentials.who.pid,
             (unsigned)credentials.who.uid);
}

/* From when on the listener's rate allows another client. A second's worth may come at once. */
static int64_t allowed_from(const Listener *listener, int64_t now)
{
    unsigned rate = listener->accept.rate;
    int64_t paid = listener->accept.paid_until;

    return rate == 0 ? now : (paid < now - NS_PER_S ? now - NS_PER_S : paid) + NS_PER_S / rate;
}

bool accept_is_due(const ServerCore *core, const Listener *listener)
{
    int64_t now = deadline_now();

    return listener_has_room(core, listener, 0, 0) && allowed_from(listener, now) <= now;
}

bool accept_may_admit(ServerCore *core, Listener *listener, int sock)
{
    int64_t now = deadline_now(), from = allowed_from(listener, now);

    if (!listener_has_room(core, listener, 0, 0))
        return false;
    if (from <= now)
        return true;
    tell_rate(core, listener, sock, now);
    timers_set(&core->timers, TIMER_ACCEPT, from);
    return false;
}

static void pay(Listener *listener)
{
    if (listener->accept.rate)
        listener->accept.paid_until = allowed_from(listener, deadline_now());
}

/* Makes a client of a connection that has not hung up, or refuses it. */
static void take(ServerCore *core, Listener *listener, int sock, Credentials *credentials)
{
    pay(listener);
    credentials_get_groups(credentials, sock);
    admit(core, listener, sock, &credentials->who);
    credentials_free(credentials);
}

bool accept_take(ServerCore *core, Listener *listener, int sock)
{
    Credentials credentials;

    if (client_is_gone(sock)) {
        fd_close(sock);
        return false;
    }
    credentials_get_peer(&credentials, sock);
    take(core, listener, sock, &credentials);
    return true;
}

/* Whether he cannot become a client however long he waits. */
static bool is_one_too_many(ServerCore *core, uid_t uid)
{
    unsigned most = core->server->config_.max_clients_per_uid, n;

    if (!most)
        return false;
    n = count_clients(core, uid, most);
    if (n + lobby_count(&core->lobby, uid) < most)
        return false;
    lobby_drop_hung_up(&core->lobby, uid);
    return n + lobby_count(&core->lobby, uid) >= most;
}

/* Takes the connection over. Launchers probe sockets: who has hung up already costs nothing. */
static void receive(ServerCore *core, Listener *listener, int sock)
{
    _cleanup_close_ int owned = sock;
    Credentials credentials;
    uid_t uid;

    core_log(core->server, LOG_DEBUG, "accept()=%d", sock);
    if (client_is_gone(sock))
        return;
    credentials_get_peer(&credentials, sock);
    uid = credentials.who.uid;
    if (is_one_too_many(core, uid))
        refuse(core, listener, IVSHMEM_SERVER_REFUSED_UID_LIMIT, &credentials.who,
               core->server->config_.max_clients_per_uid);
    else if (lobby_goes_first(&core->lobby, listener, uid) &&
             accept_may_admit(core, listener, sock))
        take(core, listener, fd_steal(&owned), &credentials);
    else if (lobby_add(&core->lobby, listener, uid, sock) == 0)
        (void)fd_steal(&owned);
}

/* Accepts one connection. False if there is none to accept now. seccomp: accept4 */
static bool accept_one(ServerCore *core, Listener *listener)
{
    int sock;

    if (!lobby_has_room(core, listener)) {
        set_polled(core, listener, false);
        return false;
    }
    sock = sys.accept4(listener->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock >= 0) {
        receive(core, listener, sock);
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        return refuse_with_reserve(core, listener);
    case EINTR:
    case ECONNABORTED:
        return true;
    default: /* ENOMEM, ENOBUFS and whatever else: not for long, we hope */
        core_log(core->server, LOG_WARNING, "cannot accept a connection: %s", strerror(errno));
        wait_until(core, listener, deadline_now() + ACCEPT_LATER);
        return false;
    }
}

void accept_turn(ServerCore *core, Listener *listener, unsigned most)
{
    for (unsigned i = 0; i < most && accept_one(core, listener); i++)
        ;
}

void accept_glance(ServerCore *core)
{
    uint32_t limit = core->state.header->listener_limit;

    for (uint32_t i = 0; i < limit && i < GLANCE_LISTENERS; i++) {
        Listener *listener = listener_at(core, core->glance++ % limit);

        if (listener && !listener->accept.waiting)
            accept_turn(core, listener, GLANCE_TURN);
    }
}
