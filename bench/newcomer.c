/* SPDX-License-Identifier: MIT */
#include "newcomer.h"

#include "common.h"
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

static int64_t percentile(const int64_t *sorted, unsigned n, unsigned per_mille)
{
    unsigned at = (unsigned)((uint64_t)n * per_mille / 1000);

    return sorted[at < n ? at : n - 1];
}

void newcomer_print(const char *name, int64_t *samples, unsigned n)
{
    qsort(samples, n, sizeof(*samples), compare);
    (void)printf("\"%s\": {\"p50\": %" PRId64 ", \"p99\": %" PRId64 ", \"max\": %" PRId64 "}", name,
                 percentile(samples, n, 500), percentile(samples, n, 990), samples[n - 1]);
}

int newcomer_come(const char *path, int64_t *took)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    int64_t value, begin = now_ns();
    int sock = bench_connect(path), memory;

    for (int i = 0; i < 3; i++) {
        struct iovec vector = {&value, sizeof(value)};
        struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};

        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
        if (recvmsg(sock, &header, MSG_CMSG_CLOEXEC) != sizeof(value)) {
            (void)close(sock);
            return -1;
        }
        if (i == 2 && header.msg_controllen < CMSG_LEN(sizeof(int)))
            die("a newcomer got no memory");
    }
    *took = now_ns() - begin;
    memcpy(&memory, CMSG_DATA(&control.align), sizeof(memory));
    (void)close(memory);
    return sock;
}
