/* SPDX-License-Identifier: MIT */
/*
 * How the floors send: the protocol's messages, by sendmmsg in batches of up to 64, on a socket
 * that blocks. That is all the kernel has to do for it, and nothing is looked up or remembered.
 */
#pragma once

#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SEND_BATCH 64

typedef struct Sender {
    unsigned n;
    uint64_t values[SEND_BATCH];
    struct iovec vectors[SEND_BATCH];
    struct mmsghdr headers[SEND_BATCH];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } controls[SEND_BATCH];
} Sender;

void sender_init(Sender *sender);

/** Appends a message, with a descriptor unless fd is -1. There must be room. */
void sender_add(Sender *sender, int64_t value, int fd);

/** Sends what was appended; it can be sent again. Ends the program if the other end has gone. */
void sender_send(Sender *sender, int sock);

/** Forgets what was appended. */
static inline void sender_clear(Sender *sender)
{
    sender->n = 0;
}
