/* SPDX-License-Identifier: MIT */
#include "crowd.h"

#include "common.h"
#include "reader.h"

#include <unistd.h>

#define PATIENCE (60 * NS_PER_S)

__attribute__((noreturn)) static void stay(const BenchServer *server, unsigned n_clients,
                                           unsigned n_vectors, int ready)
{
    uint64_t wanted = server->n_others * reader_expected(n_clients, n_vectors);
    Reader reader;
    char path[96];

    reader_init(&reader, false);
    for (unsigned other = 0; other < server->n_others; other++) {
        bench_server_other(server, other, path);
        for (unsigned i = 0; i < n_clients; i++)
            reader_add(&reader, bench_connect(path));
    }
    if (!reader_until(&reader, wanted, PATIENCE))
        die("the clients of the other regions are not told of each other");
    say_ready(ready);
    for (;;)
        (void)pause();
}

pid_t crowd_start(const BenchServer *server, unsigned n_clients, unsigned n_vectors)
{
    int ready;
    pid_t crowd = start_child_with(&ready);

    if (crowd == 0)
        stay(server, n_clients, n_vectors, ready);
    await_ready(ready);
    (void)close(ready);
    (void)cpu_ns_settled(bench_worker(server->pid));
    return crowd;
}
