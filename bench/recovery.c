/* SPDX-License-Identifier: MIT */
/*
 * bench-recovery SERVER CLIENTS VECTORS DEATHS
 *
 * How long a newcomer waits for the memory (the third message) when the server's worker is killed,
 * with CLIENTS others connected. One newcomer after the other connects, all the time; what counts
 * is the longest wait of those that had not been served when the worker was killed, or came soon
 * after. For each death it prints a line with that wait, in ns, at the server and at the floor.
 *
 * The floor: an accept loop that sends three messages, under the plainest keeper: a process that
 * starts another, which shares its table of descriptors, and does so again when that one has died.
 */
#include "accept-floor.h"
#include "common.h"
#include "probe.h"
#include "server.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BEFORE (NS_PER_S / 2) /* the worker has lived: its death begins no series */

static pid_t clone_floor(int listener)
{
    pid_t keeper = getpid();
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0) {
        /* It has no other way to end with us. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper)
            _exit(EXIT_FAILURE);
        /* All that it knows of a connection that the last one had accepted: nothing. */
        (void)close_range((unsigned)listener + 1, ~0U, 0);
        floor_accept(listener);
    }
    return pid;
}

__attribute__((noreturn)) static void keep_floor(int listener)
{
    for (;;) {
        pid_t worker = clone_floor(listener);

        if (worker < 0 || waitpid(worker, NULL, 0) < 0)
            die("the floor's keeper cannot go on");
    }
}

static void start_floor(BenchServer *floor)
{
    int listener;

    bench_server_make_folder(floor);
    listener = floor_listen(floor->path, 100);
    floor->pid = start_child();
    if (floor->pid == 0)
        keep_floor(listener);
    (void)close(listener);
}

/* A child that kills the worker at a moment. */
static pid_t start_killer(pid_t worker, int64_t when)
{
    pid_t pid = start_child();

    if (pid == 0) {
        sleep_until(when);
        _exit(kill(worker, SIGKILL) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    return pid;
}

static int64_t measure(const BenchServer *server, bool may_end)
{
    int64_t when = now_ns() + BEFORE, longest;
    pid_t killer = start_killer(bench_worker(server->pid), when);
    int status;

    (void)probe_until(server->path, when - PROBE_AFTER, 0, may_end);
    longest = probe_until(server->path, when + PROBE_AFTER, 0, may_end);
    if (waitpid(killer, &status, 0) != killer || status != 0)
        die("the worker was not killed");
    return longest;
}

int main(int argc, char **argv)
{
    BenchServer server, floor;
    unsigned n_clients, n_vectors;
    pid_t clients;

    if (argc != 5)
        die("usage: bench-recovery SERVER CLIENTS VECTORS DEATHS");
    n_clients = (unsigned)argument(argv[2], 1, 65536);
    n_vectors = (unsigned)argument(argv[3], 1, 2048);
    raise_fd_limit();
    start_floor(&floor);
    bench_server_start(&server, argv[1], n_vectors, 0);
    clients = probe_start_clients(&server, n_clients, n_vectors);
    for (int64_t left = argument(argv[4], 1, 1000); left > 0; left--) {
        int64_t waited = measure(&server, false);

        (void)printf("{\"server\": %" PRId64 ", \"floor\": %" PRId64 "}\n", waited,
                     measure(&floor, true));
        (void)fflush(stdout);
    }
    stop_child(clients);
    bench_server_stop(&floor);
    bench_server_stop(&server);
    return EXIT_SUCCESS;
}
