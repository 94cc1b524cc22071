/* SPDX-License-Identifier: MIT */
#include "daemon/resume/store.h"

#include "daemon/process/notify.h"
#include "daemon/resume/inherit.h"
#include "daemon/resume/manifest.h"
#include "daemon/resume/record.h"
#include "daemon/share.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/fd-list.h"
#include "util/fdpass.h"
#include "util/parcel.h"

#include <poll.h>
#include <string.h>

#define PATIENCE_MS 5000 /* for the manager to take a message, and to have done so */
#define RETRY_MS    10   /* until fewer of this user's descriptors may be on their way */

typedef struct Pairs {
    int kept[PASSED_MAX_PARCELS]; /* the ends with something in their queues */
    unsigned n;
} Pairs;

static void close_pairs(const Pairs *pairs)
{
    for (unsigned i = 0; i < pairs->n; i++)
        fd_close(pairs->kept[i]);
}

/* What all processes of this user have on their way counts together: it may be too much for a
 * moment. Waits for another one. */
static bool can_retry(int r, int64_t deadline)
{
    if ((r != -ETOOMANYREFS && r != -ENOBUFS) || deadline_left(deadline) == 0)
        return false;
    (void)poll(NULL, 0, RETRY_MS);
    return true;
}

/* @return how many descriptors it took until it was full, or a negative errno */
static int fill(int sock, const int *fds, uint32_t n, int64_t deadline)
{
    uint32_t sent = 0;
    int r = 0;

    while (sent < n && (r >= 0 || can_retry(r, deadline))) {
        r = parcel_send(sock, fds + sent, n - sent);
        sent += r > 0 ? (uint32_t)r : 0;
    }
    return sent ? (int)sent : r;
}

/* Fills the queue of one more pair. @return as fill() */
static int pack_some(Pairs *pairs, const int *fds, uint32_t n, int64_t deadline)
{
    int ends[2], r;

    if (pairs->n == PASSED_MAX_PARCELS)
        return -E2BIG;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    r = fill(ends[0], fds, n, deadline);
    fd_close(ends[0]);
    pairs->kept[pairs->n++] = ends[1];
    return r;
}

static int pack(const Daemon *daemon, Pairs *pairs)
{
    _cleanup_(fd_list_free) FdList list = {0};
    int64_t deadline = deadline_after(PATIENCE_MS);
    uint32_t packed = 0;
    int r = 0;

    record_each_fd(daemon, fd_list_add, &list);
    if (list.is_short)
        return -ENOMEM;
    while (packed < list.n && r >= 0) {
        r = pack_some(pairs, list.fds + packed, list.n - packed, deadline);
        packed += r > 0 ? (uint32_t)r : 0;
    }
    return r < 0 ? r : 0;
}

/* The manager's queue is short. */
static int tell(const char *lines, const int *fds, unsigned n_fds)
{
    int64_t deadline = deadline_after(PATIENCE_MS);
    struct pollfd event = {.fd = notify_fd(), .events = POLLOUT};

    for (;;) {
        ssize_t n = fdpass_send(notify_fd(), lines, strlen(lines), fds, n_fds);

        if (n >= 0)
            return 0;
        if (can_retry((int)n, deadline))
            continue;
        if (n != -EAGAIN)
            return (int)n;
        if (poll(&event, 1, deadline_left(deadline)) == 0)
            return -ETIMEDOUT;
    }
}

/* The manager closes the descriptor that comes with BARRIER=1 when it has done all before. */
static int await(void)
{
    struct pollfd event = {.events = 0};
    int ends[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    r = tell("BARRIER=1", &ends[1], 1);
    fd_close(ends[1]);
    event.fd = ends[0];
    if (r == 0 && poll(&event, 1, PATIENCE_MS) != 1)
        r = -ETIMEDOUT;
    fd_close(ends[0]);
    return r;
}

int store_put(const Daemon *daemon, ErrorText *error)
{
    Pairs pairs = {.n = 0};
    char lines[64];
    int r;

    share_lift_limit();
    r = pack(daemon, &pairs);
    (void)snprintf(lines, sizeof(lines), "FDSTORE=1\nFDNAME=%s%d\nFDPOLL=0", PASSED_PARCEL,
                   daemon->manifest_fd);
    if (r == 0)
        r = tell(lines, pairs.kept, pairs.n);
    if (r == 0)
        r = await();
    close_pairs(&pairs);
    return r < 0 ? error_set(error, r,
                             "cannot put everything into the service manager's store, so all "
                             "clients lose their connections: %s",
                             strerror(-r))
                 : 0;
}

int store_take(Daemon *daemon, ErrorText *error)
{
    _cleanup_(inheritance_free) Inheritance inheritance = {0};
    Parcel *parcel = &inheritance.rest;
    const Passed *passed = daemon->passed;
    uint32_t n_fds = 0;
    int r = 0, manifest = -1;

    for (unsigned i = 0; r == 0 && i < passed->n_parcels; i++) {
        uint32_t before = parcel->n_fds;

        r = parcel_peek(parcel, passed->parcels[i].fd, &n_fds);
        if (parcel->n_fds > before)
            manifest = passed->parcels[i].manifest;
    }
    if (r == 0 && parcel->n_fds != n_fds)
        r = -EBADMSG;
    if (r < 0)
        return error_set(
            error, r, "the service manager's store has %u of %u descriptors for us: %s%s",
            parcel->n_fds, n_fds, strerror(-r), r == -EBADMSG ? " (see LimitNOFILE)" : "");
    daemon->manifest_fd = manifest_new();
    r = daemon->manifest_fd < 0
            ? error_set(error, daemon->manifest_fd, "no room for the manifest: %s",
                        strerror(-daemon->manifest_fd))
            : inherit(&inheritance, manifest, -1, daemon->manifest_fd, error);
    daemon->is_restored = r == 0;
    return r;
}

/* The queue is emptied, too: should the manager keep the socket, it keeps no client.
 * seccomp: recvmsg sendmsg */
void store_drop(const Daemon *daemon)
{
    const Passed *passed = daemon->passed;
    char lines[64];
    uint32_t left;

    for (unsigned i = 0; i < passed->n_parcels; i++) {
        const PassedParcel *stored = &passed->parcels[i];
        Parcel parcel = {0};

        while (parcel_receive(&parcel, stored->fd, &left) == 0)
            ;
        parcel_free(&parcel);
        fd_close(stored->fd);
        (void)snprintf(lines, sizeof(lines), "FDSTOREREMOVE=1\nFDNAME=%s%d", PASSED_PARCEL,
                       stored->manifest);
        (void)tell(lines, NULL, 0);
    }
}
