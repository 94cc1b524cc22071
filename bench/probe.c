/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include "common.h"
#include "newcomer.h"
#include "reader.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE (120 * NS_PER_S)
#define OTHERS   10 /* what a server has open beside its clients' */

pid_t probe_start_clients(const BenchServer *server, unsigned n, unsigned n_vectors)
{
    int sock;
    pid_t pid = start_child_with(&sock);

    if (pid == 0) {
        Reader reader;

        reader_init(&reader, false);
        for (unsigned i = 0; i < n; i++)
            reader_add(&reader, bench_connect(server->path));
        if (!reader_until(&reader, reader_expected(n, n_vectors), PATIENCE))
            die("the clients are not told of each other");
        say_ready(sock);
        for (;;)
            (void)reader_until(&reader, UINT64_MAX, PATIENCE);
    }
    await_ready(sock);
    (void)close(sock);
    return pid;
}

static bool has_ended(pid_t child)
{
    int status = 0;
    pid_t pid = waitpid(child, &status, WNOHANG);

    if (pid < 0 || status != 0)
        die("process %d has failed", (int)child);
    return pid == child;
}

/* One newcomer's wait, which ends with the memory: to close a socket with all that it has not read
 * takes a while, too. */
static int64_t wait_once(const char *path, bool may_end)
{
    int64_t began = now_ns(), took;
    int sock;

    while ((sock = newcomer_come(path, &took)) < 0)
        if (!may_end)
            die("the connection of a newcomer was cut");
    took = now_ns() - began;
    (void)close(sock);
    return took;
}

/* A newcomer that has been answered is not to wait for a processor that the server's clients use,
 * and which it would use itself. Those that this process starts meanwhile are not to hurry. */
static void hurry(bool does)
{
    const struct sched_param param = {.sched_priority =
                                          does ? sched_get_priority_min(SCHED_FIFO) : 0};

    if (sched_setscheduler(0, does ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER, &param) < 0)
        die("the newcomers cannot hurry (only root's can)");
}

int64_t probe_until(const char *path, int64_t when, pid_t waits, bool may_end)
{
    int64_t longest = 0, bound = now_ns() + PATIENCE;

    hurry(true);
    do {
        int64_t took = wait_once(path, may_end);

        if (took > longest)
            longest = took;
        if (waits && has_ended(waits)) {
            waits = 0;
            when = now_ns() + PROBE_AFTER;
        }
        if (now_ns() > bound)
            die("process %d does not end", (int)waits);
    } while (waits || now_ns() < when);
    hurry(false);
    return longest;
}

int64_t probe_across_death(const char *path, pid_t worker, bool may_end)
{
    int64_t longest = 0, moment;

    (void)wait_once(path, may_end);
    moment = now_ns();
    if (worker && kill(worker, SIGKILL) < 0)
        die("the worker cannot be killed");
    for (int64_t after = 0; after < PROBE_AFTER; after += PROBE_STEP) {
        int64_t took;

        sleep_until(moment + after);
        took = wait_once(path, may_end);
        if (took > longest)
            longest = took;
    }
    return longest;
}

int *probe_make_fds(unsigned n_clients, unsigned n_vectors, unsigned *n)
{
    int *fds;

    *n = n_clients * (1 + n_vectors) + OTHERS;
    fds = calloc(*n, sizeof(*fds));
    for (unsigned i = 0; fds && i < *n; i++) {
        fds[i] = i % (1 + n_vectors) ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
                                     : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[i] < 0)
            die("the floor has too few descriptors");
    }
    return fds;
}
