/* SPDX-License-Identifier: MIT */
/*
 * bench-population SERVER VECTORS FD_LIMIT IDLE_S COUNT...
 * bench-population SERVER VECTORS FD_LIMIT IDLE_S most
 *
 * Connects clients that read everything up to each COUNT in turn, waits until all have been told of
 * all, and prints a line with the server's resident memory (bytes) and descriptors. Or connects one
 * after the other until one is not served, which is how many the server has room for. With IDLE_S,
 * it then prints how often the server ran in so many seconds in which nothing happened. FD_LIMIT is
 * the server's RLIMIT_NOFILE, 0 for the system's.
 */
#include "common.h"
#include "reader.h"
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE     (60 * NS_PER_S)
#define NOT_SERVED   (2 * NS_PER_S) /* without a message: a newcomer waits for room */
#define AT_ONCE      200            /* connections that wait to be accepted */
#define MOST_CLIENTS 65536

typedef struct Population {
    BenchServer server;
    Reader reader;
    unsigned n, n_vectors;
} Population;

static void add(Population *population)
{
    int sock = bench_connect(population->server.path);

    if (sock < 0)
        die("the server has gone");
    reader_add(&population->reader, sock);
    population->n++;
}

static bool is_told(Population *population, int64_t patience)
{
    return reader_until(&population->reader, reader_expected(population->n, population->n_vectors),
                        patience);
}

static void grow(Population *population, unsigned wanted)
{
    while (population->n < wanted) {
        for (unsigned i = 0; i < AT_ONCE && population->n < wanted; i++)
            add(population);
        if (!is_told(population, PATIENCE))
            die("%u clients are not told of each other", population->n);
    }
}

/* Leaves one client that is not served. */
static void fill(Population *population)
{
    do {
        if (population->n == MOST_CLIENTS)
            die("there is no limit");
        add(population);
    } while (is_told(population, NOT_SERVED));
    population->n--;
}

static void report(const Population *population)
{
    (void)cpu_ns_settled(bench_worker(population->server.pid));
    (void)printf("{\"clients\": %u, \"resident\": %" PRId64 ", \"fds\": %" PRId64 "}\n",
                 population->n, resident_bytes(bench_worker(population->server.pid)),
                 open_fds(bench_worker(population->server.pid)));
    (void)fflush(stdout);
}

static void watch_idle(const Population *population, int64_t seconds)
{
    int64_t before = context_switches(population->server.pid);

    sleep_until(now_ns() + seconds * NS_PER_S);
    (void)printf("{\"clients\": %u, \"seconds\": %" PRId64 ", \"wakeups\": %" PRId64 "}\n",
                 population->n, seconds, context_switches(population->server.pid) - before);
}

int main(int argc, char **argv)
{
    Population population = {.n = 0};
    int64_t limit, idle;

    if (argc < 6)
        die("usage: bench-population SERVER VECTORS FD_LIMIT IDLE_S COUNT...|most");
    population.n_vectors = (unsigned)argument(argv[2], 1, 2048);
    limit = argument(argv[3], 0, INT32_MAX);
    idle = argument(argv[4], 0, 3600);
    raise_fd_limit();
    bench_server_start(&population.server, argv[1], population.n_vectors, (rlim_t)limit);
    reader_init(&population.reader, false);
    report(&population);
    for (int i = 5; i < argc; i++) {
        if (strcmp(argv[i], "most") == 0)
            fill(&population);
        else
            grow(&population, (unsigned)argument(argv[i], 1, MOST_CLIENTS));
        report(&population);
    }
    if (idle)
        watch_idle(&population, idle);
    bench_server_stop(&population.server);
    return EXIT_SUCCESS;
}
