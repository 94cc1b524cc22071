/* SPDX-License-Identifier: MIT */
/*
 * bench-churn SERVER VECTORS CONNECTS
 *
 * Clients come and go beside one that stays and reads: by turns they hang up at once, after the
 * first message, after the third, and when they have been sent all. It prints a line with the
 * server's descriptors and resident memory (bytes) before, half way through and after.
 */
#include "common.h"
#include "reader.h"
#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE (20 * NS_PER_S)
#define N_WAYS   4
#define CATCH_UP 64                /* clients, after which the one that stays reads */
#define READ_FOR (NS_PER_S / 1000) /* without a message: it has caught up */

/* Reads n messages, of which some may carry a descriptor, which the kernel drops. */
static void read_messages(int sock, unsigned n)
{
    uint64_t value;

    for (unsigned i = 0; i < n; i++) {
        struct pollfd ready = {sock, POLLIN, 0};

        errno = 0;
        if (poll(&ready, 1, (int)(PATIENCE / 1000000)) != 1 ||
            recv(sock, &value, sizeof(value), 0) != sizeof(value))
            die("a client was not sent message %u of %u", i + 1, n);
    }
}

/* At least the set-up with the one that stays: others may just be there, too. */
static void come_and_go(const char *path, unsigned way, unsigned n_vectors)
{
    const unsigned wanted[N_WAYS] = {0, 1, 3, 3 + 2 * n_vectors};
    int sock = bench_connect(path);

    if (sock < 0)
        die("the server has gone");
    read_messages(sock, wanted[way]);
    (void)close(sock);
}

static void report(const char *name, pid_t pid)
{
    (void)cpu_ns_settled(pid);
    (void)printf("\"%s\": {\"fds\": %" PRId64 ", \"resident\": %" PRId64 "}", name, open_fds(pid),
                 resident_bytes(pid));
}

int main(int argc, char **argv)
{
    BenchServer server;
    Reader reader;
    unsigned n_vectors, n;

    if (argc != 4)
        die("usage: bench-churn SERVER VECTORS CONNECTS");
    n_vectors = (unsigned)argument(argv[2], 1, 2048);
    n = (unsigned)argument(argv[3], 2, 10000000);
    bench_server_start(&server, argv[1], n_vectors, 0);
    reader_init(&reader, false);
    reader_add(&reader, bench_connect(server.path));
    if (!reader_until(&reader, 3 + (uint64_t)n_vectors, PATIENCE))
        die("the client that stays was not served");
    (void)printf("{");
    report("before", bench_worker(server.pid));
    for (unsigned i = 0; i < n; i++) {
        come_and_go(server.path, i % N_WAYS, n_vectors);
        if (i % CATCH_UP == 0)
            (void)reader_until(&reader, UINT64_MAX, READ_FOR);
        if (i == n / 2) {
            (void)printf(", ");
            report("half", bench_worker(server.pid));
        }
    }
    (void)reader_until(&reader, UINT64_MAX, READ_FOR);
    (void)printf(", ");
    report("after", bench_worker(server.pid));
    (void)printf(", \"connects\": %u, \"messages\": %" PRIu64 "}\n", n, reader.messages);
    bench_server_stop(&server);
    return EXIT_SUCCESS;
}
