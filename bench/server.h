/* SPDX-License-Identifier: MIT */
/* The server that is measured: a program with the drop-in command line, in a folder of its own. */
#pragma once

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define BENCH_MAX_REGIONS 1000

typedef struct BenchServer {
    char folder[64];
    char path[96];    /* its socket */
    char control[96]; /* its control socket, if it has one */
    pid_t pid;
    unsigned n_others; /* regions beside the one that is measured */
} BenchServer;

/**
 * Starts it and waits until it serves and has come to rest.
 *
 * @param limit  its RLIMIT_NOFILE; 0: as ours
 */
void bench_server_start(BenchServer *server, const char *program, unsigned n_vectors, rlim_t limit);

/** The same with more options, up to NULL. */
void bench_server_start_with(BenchServer *server, const char *program, unsigned n_vectors,
                             rlim_t limit, char *const *more);

/** The same with a control socket. */
void bench_server_start_controlled(BenchServer *server, const char *program, unsigned n_vectors);

/** Starts, when it is time, a process that takes over from such a server. @return the caller's
 * child, as the server is */
pid_t bench_server_start_successor(const BenchServer *server, const char *program,
                                   unsigned n_vectors, int64_t when);

/**
 * Starts one with a configuration: the region that is measured and others, each with the same
 * vectors.
 *
 * @param max_clients  at once in the one that is measured; `others_clients` in each of the others
 * @return ns until the first message of the region that is opened last has come
 */
int64_t bench_server_start_regions(BenchServer *server, const char *program, unsigned n_vectors,
                                   unsigned max_clients, unsigned n_others,
                                   unsigned others_clients);

/** The socket of another region, 0 to n_others - 1. */
void bench_server_other(const BenchServer *server, unsigned other, char path[static 96]);

/** Who serves in a server's process: its worker, or, without one, itself. */
pid_t bench_worker(pid_t server);

/** Ends it and removes its folder. */
void bench_server_stop(BenchServer *server);

/** A path for a socket in a new folder, for floors that listen. Goes with bench_server_stop(). */
void bench_server_make_folder(BenchServer *server);

/** Connects to the socket at a path, blocking. -1 if nobody listens there. */
int bench_connect(const char *path);
