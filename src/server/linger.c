/* SPDX-License-Identifier: MIT */
#include "server/linger.h"

#include "server/core.h"
#include "util/cleanup.h"

#include <stdlib.h>
#include <sys/socket.h>

#define CHECK_AFTER INT64_C(250000000) /* ns */
#define CHECK_AGAIN INT64_C(1000000)   /* ns, for one who would be turned away */
#define MOST_READS  4096               /* a socket buffer has room for some 300 small messages */

void linger_free(Linger *linger)
{
    for (uint32_t i = 0; i < linger->n; i++)
        fd_close(linger->entries[i].sock);
    free(linger->entries);
    *linger = (Linger){0};
}

static bool make_room(Linger *linger)
{
    uint32_t n = linger->n_allocated ? 2 * linger->n_allocated : 16;
    Lingering *more;

    if (linger->n < linger->n_allocated)
        return true;
    more = reallocarray(linger->entries, n, sizeof(*more));
    if (!more)
        return false;
    linger->entries = more;
    linger->n_allocated = n;
    return true;
}

/* Drops what the client has sent: among it can be its own end, which nobody else holds then. More
 * cannot come, the connection is shut down. False if it is more than anybody can have sent.
 * seccomp: recvfrom */
static bool drain(int sock)
{
    char bytes[4096];

    for (unsigned i = 0; i < MOST_READS; i++)
        if (recv(sock, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
            return true;
    return false;
}

void linger_add(ServerCore *core, int sock, uid_t uid, uint32_t unread)
{
    Linger *linger = &core->linger;

    if (unread == 0 || !core->flight.budget->limited || !drain(sock) || !make_room(linger) ||
        uids_add(&core->uids, uid) < 0) {
        fd_close(sock);
        return;
    }
    linger->entries[linger->n++] = (Lingering){sock, uid, unread};
    flight_count(&core->flight, unread);
    timers_set(&core->timers, TIMER_LINGER, deadline_now() + CHECK_AFTER);
}

void linger_check(ServerCore *core)
{
    Linger *linger = &core->linger;
    uint32_t n = 0, before = linger->n;

    for (uint32_t i = 0; i < before; i++) {
        Lingering entry = linger->entries[i];
        uint32_t left = flight_queued(&core->flight, entry.sock);

        if (left > entry.unread)
            left = entry.unread;
        flight_count(&core->flight, (int64_t)left - entry.unread);
        entry.unread = left;
        if (left > 0) {
            linger->entries[n++] = entry;
        } else {
            fd_close(entry.sock);
            uids_remove(&core->uids, entry.uid);
        }
    }
    linger->n = n;
    linger->checked_at = deadline_now();
    if (n > 0)
        timers_set(&core->timers, TIMER_LINGER, deadline_now() + CHECK_AFTER);
    if (n < before)
        listeners_resume(core);
}

void linger_check_soon(ServerCore *core)
{
    if (core->linger.n > 0 && deadline_now() - core->linger.checked_at > CHECK_AGAIN)
        linger_check(core);
}
