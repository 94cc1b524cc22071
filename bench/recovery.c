/* SPDX-License-Identifier: MIT */
/*
 * bench-recovery SERVER CLIENTS VECTORS DEATHS
 *
 * How long a newcomer waits for the memory (the third message) when the server's worker is killed,
 * with CLIENTS others connected: the longest of those of the one who comes that moment and of some
 * who come soon after. For each death it prints a line with that wait, in ns, at the server and at
 * the floor, and with the same at the server while nobody is killed.
 *
 * The floor: an accept loop that sends three messages, under the plainest keeper: a process that
 * has as many descriptors open as the server, starts another process, which shares its table of
 * them, and does so again when that one has died.
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

#define SETTLED                                                                                    \
    (NS_PER_S / 4)            /* a worker that has lived so long is not one of a series of deaths */
#define BEFORE (NS_PER_S / 2) /* longer */

static pid_t clone_floor(int listener, unsigned first_free)
{
    pid_t keeper = getpid();
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0) {
        /* It has no other way to end with us. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != keeper)
            _exit(EXIT_FAILURE);
        /* All that it knows of a connection that the last one had accepted: nothing. */
        (void)close_range(first_free, ~0U, 0);
        floor_accept(listener);
    }
    return pid;
}

/* As the server's keeper, it reaps a worker when the next one has settled: if somebody has listed
 * the descriptors in /proc, that takes the kernel milliseconds. */
__attribute__((noreturn)) static void keep_floor(int listener, unsigned n_clients,
                                                 unsigned n_vectors)
{
    unsigned n;
    const int *fds = probe_make_fds(n_clients, n_vectors, &n);
    pid_t dead = 0;

    for (;;) {
        pid_t worker = clone_floor(listener, (unsigned)fds[n - 1] + 1);
        siginfo_t end;

        sleep_until(now_ns() + SETTLED);
        if (dead > 0 && waitpid(dead, NULL, 0) < 0)
            die("the floor's keeper cannot reap");
        if (worker < 0 || waitid(P_PID, (id_t)worker, &end, WEXITED | WNOWAIT) < 0)
            die("the floor's keeper cannot go on");
        dead = worker;
    }
}

static void start_floor(BenchServer *floor, unsigned n_clients, unsigned n_vectors)
{
    int listener;

    bench_server_make_folder(floor);
    listener = floor_listen(floor->path, 100);
    floor->pid = start_child();
    if (floor->pid == 0)
        keep_floor(listener, n_clients, n_vectors);
    (void)close(listener);
}

static int64_t measure(const char *path, pid_t worker, bool may_end)
{
    sleep_until(now_ns() + BEFORE);
    return probe_across_death(path, worker, may_end);
}

static void measure_all(const BenchServer *server, const BenchServer *floor)
{
    int64_t waited = measure(server->path, bench_worker(server->pid), false);
    int64_t of_floor = measure(floor->path, bench_worker(floor->pid), true);
    int64_t undisturbed = measure(server->path, 0, false);

    (void)printf("{\"server\": %" PRId64 ", \"floor\": %" PRId64 ", \"undisturbed\": %" PRId64
                 "}\n",
                 waited, of_floor, undisturbed);
    (void)fflush(stdout);
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
    start_floor(&floor, n_clients, n_vectors);
    bench_server_start(&server, argv[1], n_vectors, 0);
    clients = probe_start_clients(&server, n_clients, n_vectors);
    for (int64_t left = argument(argv[4], 1, 1000); left > 0; left--)
        measure_all(&server, &floor);
    stop_child(clients);
    bench_server_stop(&floor);
    bench_server_stop(&server);
    return EXIT_SUCCESS;
}
