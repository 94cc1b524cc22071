/* SPDX-License-Identifier: MIT */
#include "tools/client/tool.h"

#include "ivshmem-device.h"
#include "util/cli.h"
#include "util/size.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

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
    return cli_flush(PROGRAM) == EXIT_SUCCESS ? STATUS_OK : STATUS_ERROR;
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

/*
 * What the port has said. A program's one opened port at a time shares these: the callbacks of a
 * port have one opaque between them, and that is the command's.
 */
static char last_error[512];
static bool verbose;

/* Standard output is for what scripts read. Errors end the program, which shows the last one. */
static void take_line(void *opaque, int priority, const char *line)
{
    (void)opaque;
    if (priority <= LOG_ERR)
        (void)snprintf(last_error, sizeof(last_error), "%s", line);
    else if (verbose)
        (void)fprintf(stderr, PROGRAM ": %s\n", line);
}

const char *tool_last_error(void)
{
    return last_error;
}

/* In a virtual machine there is no server, so that its user need not say that it is one. */
static const char *default_port(void)
{
    bool device = access(DEFAULT_SOCKET, F_OK) < 0 && ivshmem_device_list(NULL, NULL, 0) > 0;

    return device ? PCI_SCHEME "auto" : UNIX_SCHEME DEFAULT_SOCKET;
}

int tool_try_open(IvshmemPort **port, const ToolOptions *options, const IvshmemPortOptions *more)
{
    IvshmemPortOptions all = more ? *more : (IvshmemPortOptions){0};
    const char *uri = options->port;
    char socket[PATH_MAX];

    if (!uri && options->socket) {
        (void)snprintf(socket, sizeof(socket), UNIX_SCHEME "%s", options->socket);
        uri = socket;
    }
    all.timeout_ms = options->connect_timeout_ms;
    if (all.timeout_ms == 0)
        all.timeout_ms = 1; /* no time, which 0 does not stand for */
    else if (all.timeout_ms < 0)
        all.timeout_ms = IVSHMEM_PORT_TIMEOUT_MS;
    all.n_vectors = options->vectors;
    all.log = take_line;
    verbose = options->verbose;
    last_error[0] = '\0';
    return ivshmem_port_open(port, uri ? uri : default_port(), &all);
}

const char *tool_hint(const ToolOptions *options, int result)
{
    return options->region && result == -ENOENT
               ? " (no server has an observers' socket of such a region there; see --control)"
               : "";
}

int tool_open(IvshmemPort **port, const ToolOptions *options, const IvshmemPortOptions *more)
{
    int r = tool_try_open(port, options, more);

    if (r == 0)
        return STATUS_OK;
    return tool_error("%s%s", *last_error ? last_error : strerror(-r), tool_hint(options, r));
}

void tool_closep(IvshmemPort **port)
{
    ivshmem_port_close(*port);
}

bool tool_knows_peers(const IvshmemPort *port)
{
    return ivshmem_port_peers(port, NULL, 0) >= 0;
}
