/* SPDX-License-Identifier: MIT */
#include "server/dispatch.h"

#include "server/client.h"
#include "server/core.h"
#include "server/recover.h"
#include "server/setup.h"
#include "util/sys.h"

#include <errno.h>
#include <unistd.h>

#define EVENTS_MAX 16 /* in a turn */

/* A client has hung up or written something, which the protocol forbids. */
static void handle_input(ServerCore *core, uint32_t slot)
{
    char byte;
    ssize_t n = recv(core->state.clients[slot].sock_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    client_close(core, slot, n > 0 ? "it has sent data, which the protocol forbids" : NULL);
}

static void handle_client(ServerCore *core, uint32_t slot, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        handle_input(core, slot);
    else if (events & EPOLLOUT)
        outbox_unblock(core, slot);
}

static void handle_timers(ServerCore *core)
{
    unsigned passed = timers_take(&core->timers);

    if (passed & 1u << TIMER_RETRY) {
        outbox_retry(&core->outbox);
        core->recovers_later = false;
    }
    if (passed & 1u << TIMER_ACCEPT)
        listeners_resume(core);
    if (passed & 1u << TIMER_SETUP)
        setup_check(core);
    if (passed & 1u << TIMER_LINGER)
        linger_check(core);
}

/* Makes our epoll fd readable while there is something to send, whatever else happens. */
static void set_awake(ServerCore *core, bool awake)
{
    uint64_t count = 1;

    if (awake == core->awake)
        return;
    /* Neither can fail: the counter is 0 before the one and 1 before the other. */
    if (awake)
        core->awake = write(core->wake_fd, &count, sizeof(count)) == sizeof(count);
    else
        core->awake = read(core->wake_fd, &count, sizeof(count)) != sizeof(count);
}

void dispatch_wake(ServerCore *core)
{
    set_awake(core,
              outbox_has_work(&core->outbox) || lobby_has_work(core) || recover_has_work(core));
}

/* Serves the listeners that have connections waiting, each its part of the turn. */
static void accept_all(ServerCore *core, const uint32_t *ready, unsigned n_ready)
{
    unsigned most = n_ready < ACCEPT_TURN ? ACCEPT_TURN / n_ready : 1;

    for (unsigned i = 0; i < n_ready; i++) {
        Listener *listener = listener_at(core, ready[i]);

        if (listener)
            accept_turn(core, listener, most);
    }
}

/* seccomp: epoll_wait epoll_pwait recvfrom read write */
int dispatch_turn(ServerCore *core)
{
    struct epoll_event events[EVENTS_MAX];
    uint32_t listeners[EVENTS_MAX];
    unsigned n_listeners = 0;
    bool timers = false;
    int n = sys.epoll_wait(core->epoll_fd, events, EVENTS_MAX, 0);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        uint32_t index = EVENT_INDEX(events[i].data.u64);

        switch (EVENT_KIND(events[i].data.u64)) {
        case EVENT_CLIENT:
            handle_client(core, index, events[i].events);
            break;
        case EVENT_LISTENER:
            listeners[n_listeners++] = index;
            break;
        case EVENT_TIMER:
            timers = true;
            break;
        case EVENT_WAKE:
            break;
        }
    }
    /* From here on slots may be taken and dropped: no event is left that names one. */
    if (timers)
        handle_timers(core);
    if (n_listeners)
        accept_all(core, listeners, n_listeners);
    if (n == EVENTS_MAX)
        accept_glance(core); /* the kernel may tell of hundreds of hang-ups first */
    if (core->lobby.n_queues)
        lobby_turn(core);
    outbox_turn(core);
    recover_turn(core, n_listeners > 0);
    dispatch_wake(core);
    return 0;
}
