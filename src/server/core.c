/* SPDX-License-Identifier: MIT */
#include "server/core.h"

#include "util/sys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* seccomp: epoll_ctl */
int core_watch(ServerCore *core, int op, int fd, uint32_t events, uint64_t about)
{
    struct epoll_event event = {.events = events, .data.u64 = about};

    return sys.epoll_ctl(core->epoll_fd, op, fd, &event) < 0 ? -errno : 0;
}

int core_unwatch(ServerCore *core, int fd)
{
    return sys.epoll_ctl(core->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

void core_tell_limit(ServerCore *core, bool is_computed)
{
    core->limit_is_computed = is_computed;
}

void core_log(const IvshmemServer *server, int priority, const char *format, ...)
{
    const IvshmemServerConfig *config = &server->config_;
    char line[LOG_LINE_SIZE];
    va_list arguments;

    if (!config->log && !server->verbose)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (config->log)
        config->log(config->opaque, priority, line);
    else
        (void)puts(line);
}

int core_fail(IvshmemServer *server, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(server->error_, sizeof(server->error_), format, arguments);
    va_end(arguments);
    core_log(server, LOG_ERR, "%s", server->error_);
    return error;
}
