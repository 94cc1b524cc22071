/* SPDX-License-Identifier: MIT */
/* read and write: bytes between the shared memory and standard input and output. */
#include "tools/client/tool.h"

#include "util/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int run_read(const ToolOptions *options)
{
    const IvshmemPortOptions want = {.read_only = true};
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    uint64_t offset, length;
    size_t size;

    if (tool_size("offset", options->arguments[0], &offset) != STATUS_OK ||
        tool_size("length", options->arguments[1], &length) != STATUS_OK ||
        tool_open(&port, options, &want) != STATUS_OK)
        return STATUS_ERROR;
    size = ivshmem_port_memory_size(port);
    if (offset > size || length > size - offset)
        return tool_error("offset %" PRIu64 ", length %" PRIu64
                          ": outside of the memory, which has %zu bytes",
                          offset, length, size);
    (void)fwrite((const char *)ivshmem_port_memory(port) + offset, 1, (size_t)length, stdout);
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

int run_write(const ToolOptions *options)
{
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    uint64_t offset;
    size_t size;

    if (tool_size("offset", options->arguments[0], &offset) != STATUS_OK ||
        tool_open(&port, options, NULL) != STATUS_OK)
        return STATUS_ERROR;
    size = ivshmem_port_memory_size(port);
    if (offset > size)
        return tool_error("offset %" PRIu64 ": outside of the memory, which has %zu bytes", offset,
                          size);
    return fill((char *)ivshmem_port_memory(port) + offset, size - (size_t)offset, offset);
}
