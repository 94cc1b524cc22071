/* SPDX-License-Identifier: MIT */
/* read and write: bytes between the shared memory and standard input and output. */
#include "tools/client/tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Mapping {
    char *bytes;
    size_t size;
} Mapping;

/* Connects and maps. The process's end undoes it. */
static int map(IvshmemClient *client, const ToolOptions *options, bool writable, Mapping *mapping)
{
    int status = tool_init(client, options, NULL, NULL);
    void *bytes;

    if (status == STATUS_OK)
        status = tool_connect(client, options, false);
    if (status != STATUS_OK)
        return status;
    if (ivshmem_client_map(client, writable, 0, &bytes, &mapping->size) < 0)
        return tool_error("%s: %s", options->socket, ivshmem_client_error(client));
    mapping->bytes = bytes;
    return STATUS_OK;
}

int run_read(IvshmemClient *client, const ToolOptions *options)
{
    uint64_t offset, length;
    Mapping mapping;

    if (tool_size("offset", options->arguments[0], &offset) != STATUS_OK ||
        tool_size("length", options->arguments[1], &length) != STATUS_OK ||
        map(client, options, false, &mapping) != STATUS_OK)
        return STATUS_ERROR;
    if (offset > mapping.size || length > mapping.size - offset)
        return tool_error("offset %" PRIu64 ", length %" PRIu64
                          ": outside of the memory, which has %zu bytes",
                          offset, length, mapping.size);
    (void)fwrite(mapping.bytes + offset, 1, (size_t)length, stdout);
    return STATUS_OK;
}

/* Reads standard input to its end, which must come within the room there is. */
static int fill(char *bytes, size_t room, uint64_t offset)
{
    char extra;

    for (;;) {
        /* A read of 0 bytes would not tell the end of the input from its going on. */
        ssize_t n = read(STDIN_FILENO, room > 0 ? bytes : &extra, room > 0 ? room : 1);

        if (n == 0)
            return STATUS_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tool_error("cannot read standard input: %s", strerror(errno));
        if (room == 0)
            return tool_error("offset %" PRIu64 ": the input goes on past the end of the memory, "
                              "up to which it is written",
                              offset);
        bytes += n;
        room -= (size_t)n;
    }
}

int run_write(IvshmemClient *client, const ToolOptions *options)
{
    uint64_t offset;
    Mapping mapping;

    if (tool_size("offset", options->arguments[0], &offset) != STATUS_OK ||
        map(client, options, true, &mapping) != STATUS_OK)
        return STATUS_ERROR;
    if (offset > mapping.size)
        return tool_error("offset %" PRIu64 ": outside of the memory, which has %zu bytes", offset,
                          mapping.size);
    return fill(mapping.bytes + offset, mapping.size - (size_t)offset, offset);
}
