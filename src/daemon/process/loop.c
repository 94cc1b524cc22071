/* SPDX-License-Identifier: MIT */
#include "daemon/process/loop.h"

#include "util/cleanup.h"

#include <sys/epoll.h>

#define EVENTS_MAX 256 /* in a batch: whoever is ready is in it, beside all control connections */

int loop_init(Loop *loop)
{
    *loop = LOOP_NONE;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd < 0 ? -errno : 0;
}

static void destroy_retired(Loop *loop)
{
    while (loop->retired) {
        LoopHandler *handler = loop->retired;

        loop->retired = handler->next_retired;
        handler->destroy(handler->owner);
    }
}

void loop_free(Loop *loop)
{
    destroy_retired(loop);
    loop->epoll_fd = fd_close(loop->epoll_fd);
}

/* seccomp: epoll_ctl epoll_wait epoll_pwait */
int loop_add(Loop *loop, LoopHandler *handler, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = handler};

    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, handler->fd, &event) < 0 ? -errno : 0;
}

void loop_change(Loop *loop, const LoopHandler *handler, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = (void *)(uintptr_t)handler};

    /* That an added descriptor's events are changed cannot fail. */
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, handler->fd, &event);
}

void loop_retire(Loop *loop, LoopHandler *handler)
{
    if (handler->retired)
        return;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, handler->fd, NULL);
    handler->retired = true;
    handler->next_retired = loop->retired;
    loop->retired = handler;
}

int loop_turn(Loop *loop, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, timeout_ms);

    if (n < 0 && errno != EINTR)
        return -errno;
    loop->turn++;
    for (int i = 0; i < n && !loop->stopped; i++) {
        LoopHandler *handler = events[i].data.ptr;

        if (!handler->retired)
            handler->ready(handler->owner, events[i].events);
    }
    destroy_retired(loop);
    return 0;
}

int loop_run(Loop *loop)
{
    int r = 0;

    while (r == 0 && !loop->stopped)
        r = loop_turn(loop, -1);
    return r;
}

void loop_stop(Loop *loop)
{
    loop->stopped = true;
}
