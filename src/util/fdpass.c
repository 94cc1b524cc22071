/* SPDX-License-Identifier: MIT */
#include "util/fdpass.h"

#include "util/cleanup.h"
#include "util/sys.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void fdpass_batch_init(FdpassBatch *batch)
{
    *batch = (FdpassBatch){0};
    for (unsigned i = 0; i < FDPASS_BATCH_MAX; i++) {
        struct cmsghdr *control = &batch->controls[i].align;

        batch->vectors[i] = (struct iovec){batch->bytes[i], FDPASS_MESSAGE_SIZE};
        batch->headers[i].msg_hdr.msg_iov = &batch->vectors[i];
        batch->headers[i].msg_hdr.msg_iovlen = 1;
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(sizeof(int));
    }
}

void fdpass_batch_add(FdpassBatch *batch, const uint8_t bytes[static FDPASS_MESSAGE_SIZE], int fd)
{
    struct msghdr *header = &batch->headers[batch->n].msg_hdr;
    FdpassControl *control = &batch->controls[batch->n];

    assert(batch->n < FDPASS_BATCH_MAX);
    memcpy(batch->bytes[batch->n], bytes, FDPASS_MESSAGE_SIZE);
    if (fd >= 0) {
        memcpy(CMSG_DATA(&control->align), &fd, sizeof(fd));
        header->msg_control = control;
        header->msg_controllen = sizeof(*control);
    } else {
        header->msg_control = NULL;
        header->msg_controllen = 0;
    }
    batch->headers[batch->n].msg_len = 0; /* how many the kernel took can be seen from these */
    batch->n++;
}

/* seccomp: sendmmsg */
int fdpass_batch_send(FdpassBatch *batch, int sock)
{
    int sent;

    do {
        sent = sys.sendmmsg(sock, batch->headers, batch->n, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

ssize_t fdpass_send(int sock, const void *bytes, size_t n_bytes, const int *fds, size_t n_fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FDPASS_MAX_FDS)];
    } control = {0};
    struct iovec vector = {(void *)(uintptr_t)bytes, n_bytes};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t sent;

    assert(n_fds <= FDPASS_MAX_FDS);
    if (n_fds > 0) {
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * n_fds);
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
    }
    do {
        sent = sys.sendmsg(sock, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

/* Hands the descriptors in a control message to the caller as far as there is room; closes the rest
 * and gives -EBADMSG. */
static int take_fds(const struct cmsghdr *control, int *fds, size_t max_fds, size_t *n_fds)
{
    size_t n = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(fd));
        if (*n_fds < max_fds) {
            fds[(*n_fds)++] = fd;
        } else {
            fd_close(fd);
            r = -EBADMSG;
        }
    }
    return r;
}

static ssize_t receive(int sock, void *bytes, size_t n_bytes, int *fds, size_t max_fds,
                       size_t *n_fds, int flags)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * FDPASS_MAX_FDS)];
    } control;
    struct iovec vector = {bytes, n_bytes};
    struct msghdr header = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_SPACE(sizeof(int) * max_fds),
    };
    ssize_t received;
    int r = 0;

    assert(max_fds >= 1 && max_fds <= FDPASS_MAX_FDS);
    *n_fds = 0;
    do {
        received = sys.recvmsg(sock, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
    } while (received < 0 && errno == EINTR);
    if (received < 0)
        return -errno;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            take_fds(c, fds, max_fds, n_fds) < 0)
            r = -EBADMSG;
    if (header.msg_flags & MSG_CTRUNC)
        r = -EBADMSG;
    if (r < 0) {
        while (*n_fds > 0)
            fd_close(fds[--*n_fds]);
        return r;
    }
    return received;
}

ssize_t fdpass_recv(int sock, void *bytes, size_t n_bytes, int *fds, size_t max_fds, size_t *n_fds)
{
    return receive(sock, bytes, n_bytes, fds, max_fds, n_fds, 0);
}

ssize_t fdpass_peek(int sock, void *bytes, size_t n_bytes, int *fds, size_t max_fds, size_t *n_fds)
{
    return receive(sock, bytes, n_bytes, fds, max_fds, n_fds, MSG_PEEK);
}
