/* SPDX-License-Identifier: MIT */
/*
 * File descriptors over Unix sockets: the one module that calls sendmsg, sendmmsg and recvmsg.
 *
 * What it relies on in the kernel (net/unix/af_unix.c, net/core/scm.c):
 * - A message of 8 bytes goes into one socket buffer: it is sent whole or not at all.
 * - A read never runs past a message that carries descriptors into the next that does.
 * - Descriptors for which the control buffer has no room are dropped and MSG_CTRUNC is set; room
 * that is there for alignment only is used nevertheless.
 * - sendmmsg stops at the first message that fails, and says so only if it was the first.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define FDPASS_BATCH_MAX    64  /* messages: beyond it sendmmsg gains nothing more (bench/) */
#define FDPASS_MESSAGE_SIZE 8   /* bytes of each message in a batch */
#define FDPASS_MAX_FDS      253 /* descriptors in one message: the kernel's SCM_MAX_FD */

typedef union FdpassControl {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
} FdpassControl;

/** Messages for one socket, each of FDPASS_MESSAGE_SIZE bytes with at most one descriptor. */
typedef struct FdpassBatch {
    struct mmsghdr headers[FDPASS_BATCH_MAX];
    struct iovec vectors[FDPASS_BATCH_MAX];
    uint8_t bytes[FDPASS_BATCH_MAX][FDPASS_MESSAGE_SIZE];
    FdpassControl controls[FDPASS_BATCH_MAX];
    unsigned n; /* messages in it */
} FdpassBatch;

/** Makes a batch that is empty. Its address must not change afterwards. */
void fdpass_batch_init(FdpassBatch *batch);

static inline void fdpass_batch_clear(FdpassBatch *batch)
{
    batch->n = 0;
}

/**
 * Appends a message. There must be room for it.
 *
 * @param fd  borrowed until the batch is sent; -1 for a message without a descriptor
 */
void fdpass_batch_add(FdpassBatch *batch, const uint8_t bytes[static FDPASS_MESSAGE_SIZE], int fd);

/**
 * Sends the batch without waiting; the batch keeps its content.
 *
 * @return how many messages the kernel took (at least 1), or the negative errno for which it did
 * not take the first: -EAGAIN and -ENOBUFS (later), -ETOOMANYREFS (too many descriptors of this
 *         user are on their way), -EPIPE and -ECONNRESET (nobody there), -ENOMEM
 */
int fdpass_batch_send(FdpassBatch *batch, int sock);

/**
 * Sends bytes with up to FDPASS_MAX_FDS descriptors, which it borrows, without waiting.
 *
 * @return the number of bytes sent or a negative errno
 */
ssize_t fdpass_send(int sock, const void *bytes, size_t n_bytes, const int *fds, size_t n_fds);

/**
 * Reads up to n_bytes, without waiting, and the descriptors that came with them.
 *
 * @param fds    room for max_fds (1 to FDPASS_MAX_FDS) descriptors, close-on-exec from birth, that
 *               belong to the caller
 * @param n_fds  how many there are
 * @return the number of bytes, 0 at the end of the stream, or a negative errno: -EAGAIN, -EBADMSG
 * if more descriptors came than there is room for (none of them is kept)
 */
ssize_t fdpass_recv(int sock, void *bytes, size_t n_bytes, int *fds, size_t max_fds, size_t *n_fds);

/** The same of what comes at the socket's SO_PEEK_OFF, which goes forward, and leaves it there. */
ssize_t fdpass_peek(int sock, void *bytes, size_t n_bytes, int *fds, size_t max_fds, size_t *n_fds);
