/* SPDX-License-Identifier: MIT */
#include "daemon/process/notify.h"

#include "daemon/process/report.h"
#include "util/cleanup.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WAITING_SIZE 2048 /* bytes; what does not fit any more is lost */

static int manager = -1;
static Loop *worker_loop; /* the worker's */
static LoopHandler handler;
static char waiting[WAITING_SIZE];

/* An address of sd_notify(3): a path, or an abstract name behind an '@'. */
static int address_of(const char *name, struct sockaddr_un *address, socklen_t *size)
{
    size_t length = strlen(name);

    if ((*name != '/' && *name != '@') || length < 2 || length >= sizeof(address->sun_path))
        return -EINVAL;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, length);
    if (*name == '@')
        *address->sun_path = '\0';
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*name == '/'));
    return 0;
}

void notify_open(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    _cleanup_close_ int fd = -1;
    struct sockaddr_un address;
    socklen_t size;
    int r;

    if (!name)
        return;
    r = address_of(name, &address, &size);
    if (r == 0) {
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, size) < 0)
            r = -errno;
    }
    if (r < 0)
        report_error("cannot tell the service manager anything, at %s: %s", name, strerror(-r));
    else
        manager = fd_steal(&fd);
}

/* What does not fit is lost: it says what was so a while ago. */
static void wait_with(const char *lines)
{
    size_t length = strlen(waiting);

    if (worker_loop && length + strlen(lines) + 2 <= sizeof(waiting)) {
        (void)snprintf(waiting + length, sizeof(waiting) - length, "%s%s", length ? "\n" : "",
                       lines);
        loop_change(worker_loop, &handler, EPOLLOUT);
    }
}

/* seccomp: sendto */
static bool is_full(const char *lines)
{
    return send(manager, lines, strlen(lines), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN;
}

/* What it is told of an error is that the manager has gone, once. seccomp: getsockopt */
static void flush(void *owner, uint32_t events)
{
    int error;
    socklen_t size = sizeof(error);

    (void)owner;
    if (events & EPOLLERR)
        (void)getsockopt(manager, SOL_SOCKET, SO_ERROR, &error, &size);
    if (*waiting && is_full(waiting))
        return;
    *waiting = '\0';
    loop_change(worker_loop, &handler, 0);
}

int notify_attach(Loop *loop)
{
    handler = (LoopHandler){.fd = manager, .ready = flush};
    *waiting = '\0';
    if (manager < 0)
        return 0;
    worker_loop = loop;
    return loop_add(worker_loop, &handler, 0);
}

void notify_tell(const char *format, ...)
{
    char lines[512];
    va_list arguments;

    if (manager < 0)
        return;
    va_start(arguments, format);
    (void)vsnprintf(lines, sizeof(lines), format, arguments);
    va_end(arguments);
    if (*waiting || is_full(lines))
        wait_with(lines);
}

int notify_fd(void)
{
    return manager;
}
