/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include "common.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH  64 /* messages read at a time */
#define EVENTS 256

typedef union Control {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
} Control;

void reader_init(Reader *reader, bool takes_fds)
{
    *reader = (Reader){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .takes_fds = takes_fds};
    if (reader->epoll_fd < 0)
        die("epoll_create1");
}

void reader_free(Reader *reader)
{
    (void)close(reader->epoll_fd);
    reader->epoll_fd = -1;
}

void reader_add(Reader *reader, int sock)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = sock};

    if (epoll_ctl(reader->epoll_fd, EPOLL_CTL_ADD, sock, &event) < 0)
        die("epoll_ctl");
}

static void close_fd_in(const Control *control)
{
    int fd;

    memcpy(&fd, CMSG_DATA(&control->align), sizeof(fd));
    (void)close(fd);
}

/* Reads a batch at most. */
static void read_some(Reader *reader, int sock)
{
    static uint64_t values[BATCH];
    static struct iovec vectors[BATCH];
    static Control controls[BATCH];
    static struct mmsghdr headers[BATCH];
    int n;

    for (unsigned i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){&values[i], sizeof(values[i])};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
        if (reader->takes_fds) {
            headers[i].msg_hdr.msg_control = &controls[i];
            headers[i].msg_hdr.msg_controllen = sizeof(controls[i]);
        }
    }
    n = recvmmsg(sock, headers, BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    if (n < 0 && errno != EAGAIN)
        die("recvmmsg");
    for (int i = 0; i < n; i++) {
        errno = 0;
        if (headers[i].msg_len != sizeof(values[i]))
            die("a client was sent %u bytes", headers[i].msg_len);
        if (headers[i].msg_hdr.msg_controllen >= CMSG_LEN(sizeof(int)))
            close_fd_in(&controls[i]);
        reader->messages++;
    }
}

bool reader_until(Reader *reader, uint64_t messages, int64_t patience)
{
    struct epoll_event events[EVENTS];

    while (reader->messages < messages) {
        int n = epoll_wait(reader->epoll_fd, events, EVENTS, (int)(patience / 1000000));

        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        if (n == 0)
            return false;
        for (int i = 0; i < n; i++)
            read_some(reader, events[i].data.fd);
    }
    return true;
}
