/* SPDX-License-Identifier: MIT */
/*
 * bench-bringup SERVER CLIENTS VECTORS ROUNDS [burst | alone | REGIONS IDLE]
 *
 * What it costs the server to bring clients up one after the other, and what the same messages cost
 * a bare loop. Both are there at the same time and take turns: one client here, one client there.
 * For each round it prints a line with the CPU time of both (user and system, ns). With `burst` the
 * line has both twice: all clients come at once, and one by one. With `alone` the other side is a
 * server of one process, whose state is its own memory. With REGIONS there is a third side, which
 * takes turns too: a server with so many regions, of which all but the one that is brought up have
 * IDLE clients. Both servers have a configuration then.
 *
 * The messages: each newcomer gets the version, its ID, the memory, every peer's vectors and its
 * own; everybody who is there gets the newcomer's vectors. Both sides send them to the same reader
 * (reader.h), which is this process, and both are given the next client only when the reader has
 * everything about the one before: the server by a connect, the floor by a byte on a socket.
 *
 * The floor is a process that has everything ready before the clock starts: a socket pair for each
 * client, all the eventfds and the memory. It then does nothing but wait for the byte and sendmmsg
 * (send.h). Not in it, and in the server's time: accept, making the eventfds, epoll, knowing who
 * has been told what, and not waiting for anybody who does not read.
 *
 * In a burst the messages are as many, and the floor sends what a server would that hears of all
 * clients before it tells any: the three first messages to each, then each one's peers, a batch of
 * up to 64 for everybody whose socket poll() says to be writable, round and round.
 */
#include "common.h"
#include "crowd.h"
#include "reader.h"
#include "send.h"
#include "server.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE (60 * NS_PER_S)

typedef struct Plan {
    const char *program;
    unsigned n_clients, n_vectors;
    unsigned n_regions, n_idle; /* 0: a server without a configuration */
    bool burst;                 /* all at once */
} Plan;

/* The server or the floor, with its clients. */
typedef struct Side {
    BenchServer server; /* only the process, if it is the floor */
    int control;        /* a byte asks the floor for a client; -1: it is the server */
    int *socks;
    Reader reader;
    int64_t used; /* CPU time before the first client */
    pid_t crowd;  /* the clients of the other regions; 0: none */
} Side;

static void expect(Reader *reader, const Plan *plan, unsigned n_clients)
{
    uint64_t wanted = reader_expected(n_clients, plan->n_vectors);

    if (!reader_until(reader, wanted, PATIENCE))
        die("%" PRIu64 " of %" PRIu64 " messages have come", reader->messages, wanted);
}

static void close_all(int *fds, unsigned n)
{
    while (n-- > 0)
        (void)close(fds[n]);
    free(fds);
}

static int *new_fds(size_t n)
{
    int *fds = calloc(n, sizeof(*fds));

    if (!fds)
        die("calloc");
    return fds;
}

/* Appends one ID's vectors and sends each full batch. */
static void send_peer(Sender *sender, const Plan *plan, int sock, const int *eventfds, unsigned id)
{
    for (unsigned i = 0; i < plan->n_vectors; i++) {
        if (sender->n == SEND_BATCH) {
            sender_send(sender, sock);
            sender_clear(sender);
        }
        sender_add(sender, id, eventfds[(size_t)id * plan->n_vectors + i]);
    }
}

/* What everybody hears of the newcomer. The batch is the same for all if it is only one. */
static void send_to_peers(Sender *sender, const Plan *plan, const int *socks, const int *eventfds,
                          unsigned newcomer)
{
    bool ready = false;

    for (unsigned i = 0; i < newcomer; i++) {
        if (!ready) {
            sender_clear(sender);
            send_peer(sender, plan, socks[i], eventfds, newcomer);
            ready = plan->n_vectors <= SEND_BATCH;
        }
        sender_send(sender, socks[i]);
    }
}

static void send_set_up(Sender *sender, const Plan *plan, const int *socks, const int *eventfds,
                        unsigned newcomer, int memory)
{
    sender_clear(sender);
    sender_add(sender, 0, -1);
    sender_add(sender, newcomer, -1);
    sender_add(sender, -1, memory);
    for (unsigned id = 0; id <= newcomer; id++)
        send_peer(sender, plan, socks[newcomer], eventfds, id);
    sender_send(sender, socks[newcomer]);
}

/* Up to a batch of what a client hears of all vectors, from number `from` on: the peers', by ID,
 * and its own. Gives the number at which the next batch begins. */
static unsigned send_batch(Sender *sender, const Plan *plan, int sock, const int *eventfds,
                           unsigned client, unsigned from)
{
    unsigned n = plan->n_clients * plan->n_vectors;

    sender_clear(sender);
    for (; from < n && sender->n < SEND_BATCH; from++) {
        unsigned peer = from / plan->n_vectors;
        unsigned id = peer == plan->n_clients - 1 ? client : peer + (peer >= client);

        sender_add(sender, id, eventfds[id * plan->n_vectors + from % plan->n_vectors]);
    }
    sender_send(sender, sock);
    return from;
}

static void send_first(Sender *sender, int sock, unsigned id, int memory)
{
    sender_clear(sender);
    sender_add(sender, 0, -1);
    sender_add(sender, id, -1);
    sender_add(sender, -1, memory);
    sender_send(sender, sock);
}

static void send_burst(Sender *sender, const Plan *plan, const int *socks, const int *eventfds,
                       int memory)
{
    unsigned n = plan->n_clients, n_left = n;
    struct pollfd *polls = calloc(n, sizeof(*polls));
    unsigned *next = calloc(n, sizeof(*next));

    if (!polls || !next)
        die("calloc");
    for (unsigned i = 0; i < n; i++) {
        polls[i] = (struct pollfd){socks[i], POLLOUT, 0};
        send_first(sender, socks[i], i, memory);
    }
    while (n_left > 0) {
        if (poll(polls, n, (int)(PATIENCE / 1000000)) <= 0)
            die("poll");
        for (unsigned i = 0; i < n; i++) {
            if (!(polls[i].revents & POLLOUT))
                continue;
            next[i] = send_batch(sender, plan, socks[i], eventfds, i, next[i]);
            if (next[i] == n * plan->n_vectors) {
                polls[i].fd = -1;
                n_left--;
            }
        }
    }
    free(polls);
    free(next);
}

/* The floor's process. */
__attribute__((noreturn)) static void run_floor(const Plan *plan, const int *socks, int control)
{
    static Sender sender;
    size_t n_eventfds = (size_t)plan->n_clients * plan->n_vectors;
    int *eventfds = new_fds(n_eventfds);
    int memory = memfd_create("bench", MFD_CLOEXEC);
    char byte;

    for (size_t i = 0; i < n_eventfds; i++) {
        eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (eventfds[i] < 0)
            die("eventfd");
    }
    sender_init(&sender);
    if (memory < 0)
        die("the floor has no memory");
    say_ready(control);
    if (plan->burst && read(control, &byte, 1) == 1)
        send_burst(&sender, plan, socks, eventfds, memory);
    for (unsigned i = 0; !plan->burst && i < plan->n_clients && read(control, &byte, 1) == 1; i++) {
        send_to_peers(&sender, plan, socks, eventfds, i);
        send_set_up(&sender, plan, socks, eventfds, i, memory);
    }
    /* The parent looks at our clock once more and ends us. */
    (void)!read(control, &byte, 1);
    _exit(EXIT_SUCCESS);
}

static Side *new_side(const Plan *plan)
{
    Side *side = calloc(1, sizeof(*side));

    if (!side)
        die("calloc");
    side->socks = new_fds(plan->n_clients);
    side->control = -1;
    reader_init(&side->reader, true);
    return side;
}

static Side *start_server(const Plan *plan, char *const *more)
{
    Side *side = new_side(plan);

    bench_server_start_with(&side->server, plan->program, plan->n_vectors, 0, more);
    side->used = cpu_ns(bench_worker(side->server.pid));
    return side;
}

static Side *start_regions(const Plan *plan, unsigned n_others)
{
    Side *side = new_side(plan);

    (void)bench_server_start_regions(&side->server, plan->program, plan->n_vectors, plan->n_clients,
                                     n_others, plan->n_idle);
    if (n_others)
        side->crowd = crowd_start(&side->server, plan->n_idle, plan->n_vectors);
    side->used = cpu_ns(bench_worker(side->server.pid));
    return side;
}

static Side *start_floor(const Plan *plan)
{
    Side *side = new_side(plan);
    int *theirs = new_fds(plan->n_clients), pair[2];

    for (unsigned i = 0; i < plan->n_clients; i++) {
        make_pair(pair);
        side->socks[i] = pair[0];
        theirs[i] = pair[1];
    }
    side->server.pid = start_child_with(&side->control);
    if (side->server.pid == 0) {
        for (unsigned i = 0; i < plan->n_clients; i++)
            (void)close(side->socks[i]);
        run_floor(plan, theirs, side->control);
    }
    close_all(theirs, plan->n_clients);
    await_ready(side->control);
    side->used = cpu_ns_settled(bench_worker(side->server.pid));
    return side;
}

static void ask_floor(const Side *side)
{
    if (write(side->control, "", 1) != 1)
        die("the floor has gone");
}

/* Has one more client come, client number i. */
static void come(Side *side, unsigned i)
{
    if (side->control >= 0) {
        ask_floor(side);
    } else {
        side->socks[i] = bench_connect(side->server.path);
        if (side->socks[i] < 0)
            die("the server has gone");
    }
    reader_add(&side->reader, side->socks[i]);
}

/* Ends it. Gives the CPU time that it has used since it was started. */
static int64_t stop(Side *side, const Plan *plan)
{
    int64_t used = cpu_ns_settled(bench_worker(side->server.pid)) - side->used;

    stop_child(side->crowd);
    if (side->control >= 0)
        stop_child(side->server.pid);
    else
        bench_server_stop(&side->server);
    if (side->control >= 0)
        (void)close(side->control);
    reader_free(&side->reader);
    close_all(side->socks, plan->n_clients);
    free(side);
    return used;
}

/* CPU time of both sides, in ns. */
typedef struct Used {
    int64_t server, floor;
} Used;

/* One client at a time, to each side in turn; who begins changes. */
static void take_turns(const Plan *plan, Side *const *sides, unsigned n_sides)
{
    for (unsigned i = 0; i < plan->n_clients; i++) {
        for (unsigned turn = 0; turn < n_sides; turn++) {
            Side *side = sides[(i + turn) % n_sides];

            come(side, i);
            expect(&side->reader, plan, i + 1);
        }
    }
}

static Used measure_one_by_one(const Plan *plan)
{
    Side *sides[2] = {start_floor(plan), NULL};
    Used used;

    sides[1] = start_server(plan, NULL);
    take_turns(plan, sides, 2);
    used.floor = stop(sides[0], plan);
    used.server = stop(sides[1], plan);
    return used;
}

/* Beside one that is a single process, whose state is its own memory and ends with it. */
static void measure_alone(const Plan *plan)
{
    static char option[] = "--no-keeper";
    char *const options[] = {option, NULL};
    Side *sides[2] = {start_server(plan, options), NULL};
    int64_t alone;

    sides[1] = start_server(plan, NULL);
    take_turns(plan, sides, 2);
    alone = stop(sides[0], plan);
    (void)printf("{\"server\": %" PRId64 ", \"alone\": %" PRId64 "}\n", stop(sides[1], plan),
                 alone);
    (void)fflush(stdout);
}

/* The many are started first: their crowd would slow the others' first clients down. */
static void measure_regions(const Plan *plan)
{
    Side *sides[3] = {start_regions(plan, plan->n_regions - 1), NULL, NULL};
    int64_t many, one;

    sides[1] = start_floor(plan);
    sides[2] = start_regions(plan, 0);
    take_turns(plan, sides, 3);
    many = stop(sides[0], plan);
    one = stop(sides[2], plan);
    (void)printf("{\"many\": %" PRId64 ", \"server\": %" PRId64 ", \"floor\": %" PRId64 "}\n", many,
                 one, stop(sides[1], plan));
    (void)fflush(stdout);
}

/* All clients at once, to one side after the other. */
static Used measure_burst(const Plan *plan)
{
    Plan burst = *plan;
    Side *side;
    Used used;

    burst.burst = true;
    side = start_floor(&burst);
    for (unsigned i = 0; i < plan->n_clients; i++)
        reader_add(&side->reader, side->socks[i]);
    ask_floor(side);
    expect(&side->reader, plan, plan->n_clients);
    used.floor = stop(side, plan);
    side = start_server(plan, NULL);
    for (unsigned i = 0; i < plan->n_clients; i++)
        come(side, i);
    expect(&side->reader, plan, plan->n_clients);
    used.server = stop(side, plan);
    return used;
}

static void print(const char *name, Used used)
{
    (void)printf("\"%sserver\": %" PRId64 ", \"%sfloor\": %" PRId64 ", ", name, used.server, name,
                 used.floor);
}

static void measure(const Plan *plan, bool burst)
{
    (void)printf("{");
    print("", measure_one_by_one(plan));
    if (burst)
        print("burst_", measure_burst(plan));
    (void)printf("\"messages\": %" PRIu64 "}\n", reader_expected(plan->n_clients, plan->n_vectors));
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    Plan plan = {.n_regions = 0, .burst = false};
    unsigned n_rounds;
    bool burst = argc == 6 && strcmp(argv[5], "burst") == 0;
    bool alone = argc == 6 && strcmp(argv[5], "alone") == 0;

    if (argc != 5 && argc != 7 && !burst && !alone)
        die("usage: bench-bringup SERVER CLIENTS VECTORS ROUNDS [burst | alone | REGIONS IDLE]");
    plan.program = argv[1];
    plan.n_clients = (unsigned)argument(argv[2], 1, 65536);
    plan.n_vectors = (unsigned)argument(argv[3], 1, 2048);
    n_rounds = (unsigned)argument(argv[4], 1, 1000);
    if (argc == 7) {
        plan.n_regions = (unsigned)argument(argv[5], 1, BENCH_MAX_REGIONS);
        plan.n_idle = (unsigned)argument(argv[6], 1, 1000);
    }
    raise_fd_limit();
    for (unsigned i = 0; i < n_rounds; i++) {
        if (plan.n_regions)
            measure_regions(&plan);
        else if (alone)
            measure_alone(&plan);
        else
            measure(&plan, burst);
    }
    return EXIT_SUCCESS;
}
