/* SPDX-License-Identifier: MIT */
/*
 * bench-latency SERVER CLIENTS SILENT VECTORS LOADED SAMPLES ROUNDS [REGIONS IDLE]
 *
 * How long a newcomer waits from connect() to the memory (the third message), with CLIENTS others
 * connected, SILENT of which never read. If LOADED is 1, another newcomer comes or goes every 5 ms,
 * which with many clients is more than can be told to all of them; otherwise each newcomer comes 10
 * ms after the one before has gone. For each round it prints a line with the percentiles, in ns.
 *
 * The floor: one process that accepts, sends the three messages and closes when the newcomer does;
 * and, if LOADED is 1, beside it another that sends as many clients, SILENT of which never read,
 * VECTORS messages each, round and round, as fast as they read. So the machine is as busy, and a
 * newcomer never waits for fan-out.
 *
 * With REGIONS there is a third side: a server with so many regions, of which all but the one that
 * is measured have IDLE clients. Both servers have a configuration then.
 *
 * The clients of all are read by processes with the same loop, which let the kernel drop the
 * descriptors: reading costs more than sending, and the senders are to be what is busy.
 */
#include "accept-floor.h"
#include "common.h"
#include "crowd.h"
#include "newcomer.h"
#include "reader.h"
#include "send.h"
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATIENCE  (120 * NS_PER_S)
#define STEP_NS   (NS_PER_S / 200) /* 5 ms */
#define N_STAYING 10               /* newcomers that are there at a time */
#define PHASE     100              /* samples, after which server and floor change places */

typedef struct Plan {
    const char *program;
    unsigned n_clients, n_silent, n_vectors, n_samples;
    bool loaded;
    unsigned n_regions, n_idle; /* 0: a server without a configuration */
} Plan;

typedef struct Side {
    const char *name;
    BenchServer server;
    pid_t clients, crowd;
    double busy; /* the part of the time in which the server ran */
} Side;

/* Newcomers come and go. */
static void sample(const Plan *plan, const char *path, int64_t *samples, unsigned n_samples)
{
    int staying[N_STAYING];
    unsigned n_staying = plan->loaded ? N_STAYING : 1;
    int64_t when = now_ns();

    for (unsigned i = 0; i < N_STAYING; i++)
        staying[i] = -1;
    for (unsigned i = 0; i < n_samples; i++) {
        int *place = &staying[i % n_staying];

        if (*place >= 0)
            (void)close(*place);
        when += plan->loaded ? STEP_NS : 2 * STEP_NS;
        sleep_until(when);
        *place = newcomer_come(path, &samples[i]);
        if (*place < 0)
            die("a newcomer got no message");
        if (!plan->loaded) {
            (void)close(*place);
            *place = -1;
        }
        when += plan->loaded ? STEP_NS : 0;
        sleep_until(when);
        if (when < now_ns() - STEP_NS)
            when = now_ns(); /* late: what was missed is not made up for in a bunch */
    }
    for (unsigned i = 0; i < N_STAYING; i++)
        if (staying[i] >= 0)
            (void)close(staying[i]);
}

/* Reads for the clients until it is ended; says on `ready` when the server's are set up. The first
 * of the sockets are those that never read. */
__attribute__((noreturn)) static void read_for_ever(const Plan *plan, int *socks, const char *path,
                                                    int ready)
{
    Reader reader;
    unsigned n_readers = plan->n_clients - plan->n_silent;

    reader_init(&reader, false);
    for (unsigned i = 0; i < plan->n_clients; i++) {
        if (path)
            socks[i] = bench_connect(path);
        if (i >= plan->n_silent)
            reader_add(&reader, socks[i]);
    }
    if (path && n_readers &&
        !reader_until(&reader,
                      (uint64_t)n_readers * (3 + (uint64_t)plan->n_clients * plan->n_vectors),
                      PATIENCE))
        die("the clients are not told of each other");
    say_ready(ready);
    for (;;)
        (void)reader_until(&reader, UINT64_MAX, PATIENCE);
}

static void measure_floor(const Plan *plan, int64_t *samples, unsigned n_samples)
{
    BenchServer floor;
    pid_t reader = 0, sender = 0;
    int *ours = calloc(2 * (size_t)plan->n_clients + 1, sizeof(int)), *theirs;
    int listener, ready[2];

    if (!ours)
        die("calloc");
    theirs = ours + plan->n_clients;
    bench_server_make_folder(&floor);
    listener = floor_listen(floor.path, 100);
    floor.pid = start_child();
    if (floor.pid == 0)
        floor_accept(listener);
    (void)close(listener);
    make_pair(ready);
    if (plan->loaded) {
        for (unsigned i = 0; i < plan->n_clients; i++) {
            int pair[2];

            make_pair(pair);
            ours[i] = pair[0];
            theirs[i] = pair[1];
        }
        if ((reader = start_child()) == 0)
            read_for_ever(plan, ours, NULL, ready[1]);
        if ((sender = start_child()) == 0)
            floor_fan_out(theirs + plan->n_silent, plan->n_clients - plan->n_silent,
                          plan->n_vectors);
    }
    sample(plan, floor.path, samples, n_samples);
    stop_child(sender);
    stop_child(reader);
    bench_server_stop(&floor);
    for (unsigned i = 0; plan->loaded && i < 2 * plan->n_clients; i++)
        (void)close(ours[i]);
    (void)close(ready[0]);
    (void)close(ready[1]);
    free(ours);
}

static void measure_server(const Plan *plan, Side *side, int64_t *samples, unsigned n_samples)
{
    pid_t worker = bench_worker(side->server.pid);
    int64_t used = cpu_ns_settled(worker), began = now_ns();

    sample(plan, side->server.path, samples, n_samples);
    side->busy = (double)(cpu_ns(worker) - used) / (double)(now_ns() - began);
}

/* One round: servers and floor by turns, a phase each. Only one of the servers is busy at a time.
 */
static void measure(const Plan *plan, Side *sides, unsigned n_sides, int64_t *samples)
{
    int64_t *floors = samples + (size_t)n_sides * plan->n_samples;

    for (unsigned done = 0; done < plan->n_samples; done += PHASE) {
        unsigned n = plan->n_samples - done < PHASE ? plan->n_samples - done : PHASE;

        for (unsigned i = 0; i < n_sides; i++)
            measure_server(plan, &sides[i], samples + (size_t)i * plan->n_samples + done, n);
        measure_floor(plan, floors + done, n);
    }
    (void)printf("{");
    for (unsigned i = 0; i < n_sides; i++) {
        newcomer_print(sides[i].name, samples + (size_t)i * plan->n_samples, plan->n_samples);
        (void)printf(", ");
    }
    newcomer_print("floor", floors, plan->n_samples);
    (void)printf(", \"busy\": %.3f}\n", sides[0].busy);
    (void)fflush(stdout);
}

static pid_t start_clients(const Plan *plan, const BenchServer *server)
{
    int *socks = calloc(plan->n_clients + 1, sizeof(*socks)), ready;
    pid_t reader;

    if (!socks)
        die("calloc");
    reader = start_child_with(&ready);
    if (reader == 0)
        read_for_ever(plan, socks, server->path, ready);
    await_ready(ready);
    (void)close(ready);
    free(socks);
    return reader;
}

static void start(Side *side, const char *name, const Plan *plan, unsigned n_others)
{
    *side = (Side){.name = name};
    if (plan->n_regions)
        (void)bench_server_start_regions(&side->server, plan->program, plan->n_vectors,
                                         plan->n_clients + 2 * N_STAYING, n_others, plan->n_idle);
    else
        bench_server_start(&side->server, plan->program, plan->n_vectors, 0);
    if (n_others)
        side->crowd = crowd_start(&side->server, plan->n_idle, plan->n_vectors);
    side->clients = start_clients(plan, &side->server);
}

static void stop(Side *side)
{
    stop_child(side->clients);
    stop_child(side->crowd);
    bench_server_stop(&side->server);
}

int main(int argc, char **argv)
{
    Plan plan = {.n_regions = 0};
    Side sides[2];
    unsigned n_sides = argc == 10 ? 2 : 1;
    int64_t *samples;

    if (argc != 8 && argc != 10)
        die("usage: bench-latency SERVER CLIENTS SILENT VECTORS LOADED SAMPLES ROUNDS [REGIONS "
            "IDLE]");
    plan.program = argv[1];
    plan.n_clients = (unsigned)argument(argv[2], 0, 65536);
    plan.n_silent = (unsigned)argument(argv[3], 0, plan.n_clients);
    plan.n_vectors = (unsigned)argument(argv[4], 1, SEND_BATCH);
    plan.loaded = argument(argv[5], 0, 1) == 1;
    plan.n_samples = (unsigned)argument(argv[6], 1, 1000000);
    if (argc == 10) {
        plan.n_regions = (unsigned)argument(argv[8], 1, BENCH_MAX_REGIONS);
        plan.n_idle = (unsigned)argument(argv[9], 1, 1000);
    }
    samples = calloc((1 + (size_t)n_sides) * plan.n_samples, sizeof(*samples));
    if (!samples)
        die("calloc");
    raise_fd_limit();
    start(&sides[0], "server", &plan, 0);
    if (n_sides == 2)
        start(&sides[1], "many", &plan, plan.n_regions - 1);
    for (int64_t left = argument(argv[7], 1, 1000); left > 0; left--)
        measure(&plan, sides, n_sides, samples);
    for (unsigned i = 0; i < n_sides; i++)
        stop(&sides[i]);
    free(samples);
    return EXIT_SUCCESS;
}
