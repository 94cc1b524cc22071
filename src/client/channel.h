/* SPDX-License-Identifier: MIT */
/*
 * Whole messages out of a server's socket, which may hand them out in pieces. It reads no further
 * than the end of a message, so that a descriptor always belongs to the message it came with.
 */
#pragma once

#include "ivshmem-client.h"
#include "wire/message.h"

typedef struct Channel {
    uint8_t bytes[WIRE_MESSAGE_SIZE]; /* of a message that is not complete */
    size_t n_bytes;
    int fd; /* that came with them, or -1 */
} Channel;

#define CHANNEL_EMPTY ((Channel){.fd = -1})

/** Forgets a message that is not complete. */
void channel_reset(Channel *channel);

/**
 * Reads one message, without waiting.
 *
 * @param value  the message's
 * @param fd     its descriptor, which is the caller's, or -1
 * @param fault  what it was, if the return value is negative
 * @return 1 if there was one, 0 if there is no whole one yet, or a negative errno: -EPROTO,
 *         -ECONNRESET, -EMFILE, -ENFILE or another of recvmsg(2)
 */
int channel_receive(Channel *channel, int sock, int64_t *value, int *fd, IvshmemClientFault *fault);
