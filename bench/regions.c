/* SPDX-License-Identifier: MIT */
/*
 * bench-regions SERVER REGIONS CLIENTS IDLE_S ROUNDS
 *
 * Starts a server with so many regions, and for each round prints a line with the time from its
 * start to the first message of the region that is opened last (ns), and the CPU time of all its
 * processes until then. In the last round CLIENTS come to each region; how often the server ran in
 * IDLE_S seconds in which nothing happened is the last line.
 */
#include "common.h"
#include "crowd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define N_VECTORS 8

int main(int argc, char **argv)
{
    BenchServer server = {.pid = 0};
    unsigned n_regions, n_clients, n_rounds;
    int64_t seconds, before;
    pid_t crowd;

    if (argc != 6)
        die("usage: bench-regions SERVER REGIONS CLIENTS IDLE_S ROUNDS");
    n_regions = (unsigned)argument(argv[2], 1, BENCH_MAX_REGIONS);
    n_clients = (unsigned)argument(argv[3], 1, 1000);
    seconds = argument(argv[4], 1, 3600);
    n_rounds = (unsigned)argument(argv[5], 1, 1000);
    raise_fd_limit();
    for (unsigned i = 0; i < n_rounds; i++) {
        int64_t took = bench_server_start_regions(&server, argv[1], N_VECTORS, n_clients, n_regions,
                                                  n_clients);

        (void)printf("{\"start\": %" PRId64 ", \"cpu\": %" PRId64 "}\n", took, cpu_ns(server.pid));
        (void)fflush(stdout);
        if (i + 1 < n_rounds)
            bench_server_stop(&server);
    }
    crowd = crowd_start(&server, n_clients, N_VECTORS);
    before = context_switches(server.pid);
    sleep_until(now_ns() + seconds * NS_PER_S);
    (void)printf("{\"clients\": %u, \"seconds\": %" PRId64 ", \"wakeups\": %" PRId64 "}\n",
                 n_regions * n_clients, seconds, context_switches(server.pid) - before);
    stop_child(crowd);
    bench_server_stop(&server);
    return EXIT_SUCCESS;
}
