/* SPDX-License-Identifier: MIT */
#include "server/accept.h"

#include "server/client.h"
#include "server/core.h"
#include "server/credentials.h"
#include "util/cleanup.h"
#include "util/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#define FDS_KEPT_FREE 32                   /* for what the host program opens after the start */
#define ACCEPT_LATER  INT64_C(100000000)   /* ns, when a connection cannot even be turned away */
#define TELL_AGAIN    INT64_C(10000000000) /* ns, between two lines on the same */
#define NS_PER_S      INT64_C(1000000000)

static const char *const refusals[] = {
    [IVSHMEM_SERVER_REFUSED_NO_FD] = "out of file descriptors",
    [IVSHMEM_SERVER_REFUSED_NO_MEMORY] = "out of memory",
    [IVSHMEM_SERVER_REFUSED_UID_LIMIT] = "its user has as many clients as it may: "
                                         "max_clients_per_uid",
    [IVSHMEM_SERVER_REFUSED_NO_ID] = "every ID is in use",
    [IVSHMEM_SERVER_REFUSED_POLICY] = "it is not among those who may connect",
    [IVSHMEM_SERVER_REFUSED_READ_ONLY] = "the memory cannot be opened for reading only",
};

/* How many descriptors are open. They are below one more than the highest, and mostly dense. */
static unsigned count_open_fds(unsigned limit)
{
    unsigned n = 0;

    for (unsigned fd = 0; fd < limit; fd++)
        n += fcntl((int)fd, F_GETFD) >= 0;
    return n;
}

unsigned accept_most_clients(unsigned n_vectors)
{
    struct rlimit limit;
    unsigned n_fds, n_used;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    n_fds = limit.rlim_cur > INT32_MAX ? INT32_MAX : (unsigned)limit.rlim_cur;
    n_used = count_open_fds(n_fds < 65536 ? n_fds : 65536) + FDS_KEPT_FREE;
    if (n_fds <= n_used)
        return 0;
    n_fds = (n_fds - n_used) / (1 + n_vectors);
    return n_fds < WIRE_N_IDS ? n_fds : WIRE_N_IDS;
}

static void set_polled(ServerCore *core, bool polled)
{
    struct epoll_event event = {.events = polled ? EPOLLIN : 0, .data.u64 = EVENT_LISTENER};

    if (sys.epoll_ctl(core->epoll_fd, EPOLL_CTL_MOD, core->listener.fd, &event) == 0)
        core->accept.waiting = !polled;
    else if (polled)
        timers_set(&core->timers, TIMER_ACCEPT, timers_now() + ACCEPT_LATER);
}

void accept_resume(ServerCore *core)
{
    if (core->accept.waiting)
        set_polled(core, true);
}

static void wait_until(ServerCore *core, int64_t when)
{
    set_polled(core, false);
    timers_set(&core->timers, TIMER_ACCEPT, when);
}

static void refuse(ServerCore *core, IvshmemServerRefusal reason,
                   const IvshmemServerCredentials *who, unsigned limit)
{
    IvshmemServer *server = core->server;
    char command[COMMAND_SIZE], value[16] = "";

    if (limit)
        (void)snprintf(value, sizeof(value), " %u", limit);
    credentials_command(who->pid, command);
    core_log(server, LOG_WARNING, "client refused (%s, pid %d, uid %u, gid %u): %s%s", command,
             (int)who->pid, (unsigned)who->uid, (unsigned)who->gid, refusals[reason], value);
    if (server->config_.client_refused)
        server->config_.client_refused(server->config_.opaque, server, reason, who->pid, who->uid,
                                       who->gid);
}

/* Launchers probe a socket by connecting and hanging up; such a connection costs no ID. One that
 * has written something has broken the protocol already. */
static bool is_gone(int sock)
{
    char byte;

    return recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
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
    default:
        return IVSHMEM_SERVER_REFUSED_NO_FD;
    }
}

static void tell_full(const ServerCore *core, const IvshmemServerCredentials *who)
{
    unsigned limit = core->state.header->max_clients;

    core_log(
        core->server, LOG_WARNING,
        "the limit of %u clients (%s) is reached by pid %d, uid %u: more wait until one leaves",
        limit, limit == core->server->config_.max_clients ? "max_clients" : "from RLIMIT_NOFILE",
        (int)who->pid, (unsigned)who->uid);
}

/* Lets the client in, or turns it away before it has cost anything. The socket is taken over. */
static void admit(ServerCore *core, int sock, const IvshmemServerCredentials *who)
{
    const IvshmemServerConfig *config = &core->server->config_;
    _cleanup_close_ int owned = sock;
    IvshmemServerAdmission admission =
        config->admit ? config->admit(config->opaque, core->server, who) : IVSHMEM_SERVER_ADMIT;
    int r;

    if (admission == IVSHMEM_SERVER_REFUSE) {
        refuse(core, IVSHMEM_SERVER_REFUSED_POLICY, who, 0);
        return;
    }
    if (config->max_clients_per_uid &&
        uids_count(&core->uids, who->uid) >= config->max_clients_per_uid) {
        refuse(core, IVSHMEM_SERVER_REFUSED_UID_LIMIT, who, config->max_clients_per_uid);
        return;
    }
    r = client_open(core, sock, who, admission == IVSHMEM_SERVER_ADMIT_READ_ONLY);
    if (r < 0) {
        refuse(core, refusal_of(r), who, 0);
        return;
    }
    (void)fd_steal(&owned);
    if (core->state.header->n_clients == core->state.header->max_clients)
        tell_full(core, who);
}

static void take_client(ServerCore *core, int sock)
{
    Credentials credentials;

    core_log(core->server, LOG_DEBUG, "accept()=%d", sock);
    if (is_gone(sock)) {
        fd_close(sock);
        return;
    }
    credentials_get(&credentials, sock);
    admit(core, sock, &credentials.who);
    credentials_free(&credentials);
}

/* Out of descriptors: turns one client away with the one that is kept for it. */
static void refuse_with_reserve(ServerCore *core)
{
    Credentials credentials;
    int sock;

    core->reserve_fd = fd_close(core->reserve_fd);
    sock = sys.accept4(core->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock >= 0) {
        credentials_get(&credentials, sock);
        refuse(core, IVSHMEM_SERVER_REFUSED_NO_FD, &credentials.who, 0);
        credentials_free(&credentials);
        fd_close(sock);
    } else if (errno != EAGAIN) {
        wait_until(core, timers_now() + ACCEPT_LATER);
    }
    core->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Who waits is not known before he is accepted. */
static void tell_rate(ServerCore *core, int64_t now)
{
    if (core->accept.told_at && now - core->accept.told_at < TELL_AGAIN)
        return;
    core->accept.told_at = now;
    core_log(core->server, LOG_WARNING,
             "more clients connect than max_accepts_per_s %u: they wait their turn",
             core->server->config_.max_accepts_per_s);
}

/* Whether max_accepts_per_s allows another connection now. A second's worth may come at once. */
static bool pay(ServerCore *core)
{
    unsigned rate = core->server->config_.max_accepts_per_s;
    int64_t now;

    if (rate == 0)
        return true;
    now = timers_now();
    if (core->accept.paid_until < now - NS_PER_S)
        core->accept.paid_until = now - NS_PER_S;
    if (core->accept.paid_until + NS_PER_S / rate > now) {
        tell_rate(core, now);
        wait_until(core, core->accept.paid_until + NS_PER_S / rate);
        return false;
    }
    core->accept.paid_until += NS_PER_S / rate;
    return true;
}

/* Accepts one connection. False if there is none to accept now. seccomp: accept4 */
static bool accept_one(ServerCore *core)
{
    int sock;

    if (core->state.header->n_clients == core->state.header->max_clients) {
        set_polled(core, false);
        return false;
    }
    if (!pay(core))
        return false;
    sock = sys.accept4(core->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock >= 0) {
        take_client(core, sock);
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        refuse_with_reserve(core);
        return !core->accept.waiting;
    case EINTR:
    case ECONNABORTED:
        return true;
    default: /* ENOMEM, ENOBUFS and whatever else: not for long, we hope */
        core_log(core->server, LOG_WARNING, "cannot accept a connection: %s", strerror(errno));
        wait_until(core, timers_now() + ACCEPT_LATER);
        return false;
    }
}

void accept_turn(ServerCore *core)
{
    for (unsigned i = 0; i < ACCEPT_TURN && accept_one(core); i++)
        ;
}
