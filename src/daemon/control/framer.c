/* SPDX-License-Identifier: MIT */
#include "daemon/control/framer.h"

#include <string.h>

static bool is_space(char c)
{
    return c && strchr(" \t\r\n", c);
}

static bool is_open(char c)
{
    return c == '{' || c == '[';
}

static FrameKind finish(Framer *framer, FrameKind kind, size_t end, size_t *length)
{
    *length = end;
    *framer = (Framer){0};
    return kind;
}

/* Within brackets. True if the last one is closed by this byte. */
static bool step(Framer *framer, char c)
{
    if (framer->in_string) {
        if (framer->escaped)
            framer->escaped = false;
        else if (c == '\\')
            framer->escaped = true;
        else if (c == '"')
            framer->in_string = false;
        return false;
    }
    if (c == '"')
        framer->in_string = true;
    else if (is_open(c))
        framer->depth++;
    else if (c == '}' || c == ']')
        return --framer->depth == 0;
    return false;
}

static size_t junk_end(const char *buffer, size_t size, size_t from)
{
    while (from < size && buffer[from] != '\n' && !is_open(buffer[from]))
        from++;
    return from;
}

FrameKind framer_next(Framer *framer, const char *buffer, size_t size, size_t *length)
{
    for (; framer->scanned < size; framer->scanned++) {
        char c = buffer[framer->scanned];

        if (framer->depth == 0 && !is_space(c) && !is_open(c))
            return finish(framer, FRAME_JUNK, junk_end(buffer, size, framer->scanned), length);
        if (framer->depth == 0 && !is_open(c))
            continue;
        if (step(framer, c))
            return finish(framer, FRAME_JSON, framer->scanned + 1, length);
    }
    return FRAME_NONE;
}
