/* SPDX-License-Identifier: MIT */
#include "tools/client/tool.h"

#include "util/deadline.h"
#include "util/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

int tool_error(const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, PROGRAM ": %s\n", line);
    return STATUS_ERROR;
}

int tool_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return STATUS_OK;
    return tool_error("cannot write to standard output: %s", strerror(errno));
}

int tool_number(const char *what, const char *text, uint64_t max, uint64_t *number)
{
    if (count_parse(text, 0, max, number) < 0)
        return tool_error("%s '%s': not a number from 0 to %" PRIu64, what, text, max);
    return STATUS_OK;
}

int tool_size(const char *what, const char *text, uint64_t *size)
{
    if (size_parse(text, size) < 0)
        return tool_error("%s '%s': not a number of bytes: digits, then nothing, K, M, G or T",
                          what, text);
    return STATUS_OK;
}

/* Standard output is for what scripts read. Errors end the program, which shows them itself. */
static void show_line(void *opaque, int priority, const char *line)
{
    const ToolOptions *options = opaque;

    if (options->verbose && priority > LOG_ERR)
        (void)fprintf(stderr, PROGRAM ": %s\n", line);
}

int tool_init(IvshmemClient *client, const ToolOptions *options, IvshmemClientNotifCb on_ring,
              void *arg)
{
    int r = ivshmem_client_init(client, options->socket, on_ring, arg, options->verbose);

    if (r < 0)
        return tool_error("--socket '%s': %s", options->socket, strerror(-r));
    ivshmem_client_set_vectors(client, options->vectors);
    if (options->command)
        ivshmem_client_set_log(client, show_line, (void *)(uintptr_t)options);
    return STATUS_OK;
}

int tool_connect(IvshmemClient *client, const ToolOptions *options, bool ready)
{
    int timeout_ms =
        options->connect_timeout_ms >= 0 ? options->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS;
    int64_t deadline = deadline_after(timeout_ms);
    int r = ivshmem_client_connect_timeout(client, timeout_ms);

    if (r == 0 && ready)
        r = ivshmem_client_wait_ready(client, deadline_left(deadline));
    if (r == 0)
        return STATUS_OK;
    if (strstr(ivshmem_client_error(client), options->socket))
        return tool_error("%s", ivshmem_client_error(client));
    return tool_error("%s: %s", options->socket, ivshmem_client_error(client));
}
