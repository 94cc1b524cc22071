/* SPDX-License-Identifier: MIT */
/*
 * Finds the JSON values in a stream of bytes. QMP's clients put nothing between their commands, so
 * brackets are counted. What is inside them is for the parser to judge. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum FrameKind {
    FRAME_NONE, /* more bytes are needed */
    FRAME_JSON, /* an object or array */
    FRAME_JUNK, /* what is neither, up to the end of its line or the next bracket */
} FrameKind;

typedef struct Framer {
    size_t scanned; /* bytes of the buffer that have been looked at */
    unsigned depth; /* open brackets */
    bool in_string;
    bool escaped;
} Framer;

/**
 * Looks at a buffer that begins where the last frame ended, and has only grown since the last call.
 *
 * @param length  of the frame and the white space before it: how much of the buffer to drop
 * @return what is at its beginning; the framer is ready for the next frame unless it is FRAME_NONE
 */
FrameKind framer_next(Framer *framer, const char *buffer, size_t size, size_t *length);
