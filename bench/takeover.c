/* SPDX-License-Identifier: MIT */
/*
 * bench-takeover SERVER CLIENTS VECTORS ROUNDS
 *
 * How long a newcomer waits for the memory (the third message) while another process takes over
 * from the server, with CLIENTS others connected. One newcomer after the other connects, all the
 * time; what counts is the longest wait from the successor's start until soon after the
 * predecessor's end. For each take-over it prints a line with that wait, in ns, and the floor.
 *
 * The floor: the time in which a bare loop passes as many sockets and eventfds from one process to
 * another, as many in a message as there can be; the median of some passes, as the server is still
 * telling its clients of the newcomers.
 */
#include "common.h"
#include "probe.h"
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BEFORE   (NS_PER_S / 2)
#define MOST_FDS 253 /* in a message: the kernel's SCM_MAX_FD */
#define N_PASSES 5

typedef struct Message {
    struct msghdr header;
    struct iovec vector;
    char byte;
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
    } control;
} Message;

static void message_init(Message *message, unsigned n)
{
    *message = (Message){.byte = 0};
    message->vector = (struct iovec){&message->byte, 1};
    message->header.msg_iov = &message->vector;
    message->header.msg_iovlen = 1;
    message->header.msg_control = &message->control;
    message->header.msg_controllen = CMSG_SPACE(n * sizeof(int));
    message->control.align = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n * sizeof(int))};
}

static unsigned at_most(unsigned n)
{
    return n < MOST_FDS ? n : MOST_FDS;
}

static void send_fds(int sock, const int *fds, unsigned n)
{
    for (unsigned now; n; n -= now, fds += now) {
        Message message;

        now = at_most(n);
        message_init(&message, now);
        memcpy(CMSG_DATA(&message.control.align), fds, now * sizeof(*fds));
        if (sendmsg(sock, &message.header, MSG_NOSIGNAL) != 1)
            die("the floor cannot send");
    }
}

/* Receives so many, and says so. They are closed with the process. */
__attribute__((noreturn)) static void receive_fds(int sock, unsigned n)
{
    for (unsigned now; n; n -= now) {
        Message message;

        now = at_most(n);
        message_init(&message, now);
        if (recvmsg(sock, &message.header, MSG_CMSG_CLOEXEC) != 1 ||
            message.header.msg_flags & MSG_CTRUNC ||
            message.control.align.cmsg_len != CMSG_LEN(now * sizeof(int)))
            die("the floor cannot receive");
    }
    say_ready(sock);
    for (;;)
        (void)pause();
}

/* @return the time from the first that is sent until all have been received */
static int64_t pass(const int *fds, unsigned n)
{
    int64_t began;
    int sock;
    pid_t other = start_child_with(&sock);

    if (other == 0) {
        (void)close_range(STDERR_FILENO + 1, (unsigned)sock - 1, 0);
        (void)close_range((unsigned)sock + 1, ~0U, 0);
        say_ready(sock);
        receive_fds(sock, n);
    }
    await_ready(sock);
    began = now_ns();
    send_fds(sock, fds, n);
    await_ready(sock);
    began = now_ns() - began;
    stop_child(other);
    (void)close(sock);
    return began;
}

static int compare(const void *a, const void *b)
{
    const int64_t *first = a, *second = b;

    return (*first > *second) - (*first < *second);
}

static int64_t measure_floor(const int *fds, unsigned n)
{
    int64_t times[N_PASSES];

    for (unsigned i = 0; i < N_PASSES; i++)
        times[i] = pass(fds, n);
    qsort(times, N_PASSES, sizeof(times[0]), compare);
    return times[N_PASSES / 2];
}

static int64_t measure(BenchServer *server, const char *program, unsigned n_vectors)
{
    int64_t when = now_ns() + BEFORE, longest;
    pid_t successor = bench_server_start_successor(server, program, n_vectors, when);

    (void)probe_until(server->path, when - PROBE_AFTER, 0, false);
    longest = probe_until(server->path, when, server->pid, false);
    server->pid = successor;
    return longest;
}

int main(int argc, char **argv)
{
    BenchServer server;
    unsigned n_clients, n_vectors, n_fds;
    const int *fds;
    pid_t clients;

    if (argc != 5)
        die("usage: bench-takeover SERVER CLIENTS VECTORS ROUNDS");
    n_clients = (unsigned)argument(argv[2], 1, 65536);
    n_vectors = (unsigned)argument(argv[3], 1, 2048);
    raise_fd_limit();
    bench_server_start_controlled(&server, argv[1], n_vectors);
    clients = probe_start_clients(&server, n_clients, n_vectors);
    fds = probe_make_fds(n_clients, n_vectors, &n_fds);
    for (int64_t left = argument(argv[4], 1, 1000); left > 0; left--) {
        int64_t waited = measure(&server, argv[1], n_vectors);

        (void)printf("{\"server\": %" PRId64 ", \"floor\": %" PRId64 "}\n", waited,
                     measure_floor(fds, n_fds));
        (void)fflush(stdout);
    }
    stop_child(clients);
    bench_server_stop(&server);
    return EXIT_SUCCESS;
}
