/* SPDX-License-Identifier: MIT */
/* Log lines, errors in words, and the dump. */
#include "client/internal.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void print_line(void *opaque, int priority, const char *line)
{
    (void)opaque;
    (void)priority;
    printf("%s\n", line);
    (void)fflush(stdout);
}

static LogSink sink_of(const IvshmemClient *client)
{
    if (client->log_cb)
        return (LogSink){client->log_cb, client->log_arg};
    return (LogSink){client->verbose ? print_line : NULL, NULL};
}

void link_log(const IvshmemClient *client, int priority, const char *format, ...)
{
    const LogSink sink = sink_of(client);
    char line[LOG_LINE_SIZE];
    va_list arguments;

    if (!sink.line)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    sink.line(sink.opaque, priority, line);
}

int link_fail(IvshmemClient *client, IvshmemClientFault fault, int r, const char *format, ...)
{
    va_list arguments;

    client->fault = fault;
    va_start(arguments, format);
    (void)vsnprintf(client->error_text, sizeof(client->error_text), format, arguments);
    va_end(arguments);
    link_log(client, LOG_ERR, "%s", client->error_text);
    return r;
}

void link_clear_error(IvshmemClient *client)
{
    client->fault = IVSHMEM_CLIENT_FAULT_NONE;
    client->error_text[0] = 0;
}

const char *ivshmem_client_error(const IvshmemClient *client)
{
    return client->error_text;
}

static void dump_peer(const char *whose, const IvshmemClientPeer *peer)
{
    printf("%s = %" PRId64 "\n", whose, peer->id);
    for (unsigned vector = 0; vector < peer->vectors_count; vector++)
        printf("  vector %u is enabled (fd=%d)\n", vector, peer->vectors[vector]);
}

void ivshmem_client_dump(const IvshmemClient *client)
{
    const IvshmemClientPeer *peer;

    dump_peer("our_id", &client->local);
    IVSHMEM_CLIENT_FOREACH_PEER(peer, client)
        dump_peer("peer_id", peer);
    (void)fflush(stdout);
}
