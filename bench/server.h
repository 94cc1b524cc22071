/* SPDX-License-Identifier: MIT */
/* The server that is measured: a program with the drop-in command line, in a folder of its own. */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

typedef struct BenchServer {
    char folder[64];
    char path[96]; /* its socket */
    pid_t pid;
} BenchServer;

/**
 * Starts it and waits until it serves and has come to rest.
 *
 * @param limit  its RLIMIT_NOFILE; 0: as ours
 */
void bench_server_start(BenchServer *server, const char *program, unsigned n_vectors, rlim_t limit);

/** Who serves in a server's process: its worker, or, without one, itself. */
pid_t bench_worker(pid_t server);

/** Ends it and removes its folder. */
void bench_server_stop(BenchServer *server);

/** A path for a socket in a new folder, for floors that listen. Goes with bench_server_stop(). */
void bench_server_make_folder(BenchServer *server);

/** Connects to the socket at a path, blocking. -1 if nobody listens there. */
int bench_connect(const char *path);
