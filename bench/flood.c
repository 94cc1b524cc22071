/* SPDX-License-Identifier: MIT */
/*
 * bench-flood SERVER KIND UID SAMPLES ROUNDS [OPTION...]
 *
 * How long a newcomer waits from connect() to the memory while a process of another user, UID,
 * connects as fast as it can, and while nobody does, by turns. For each round it prints a line with
 * the percentiles of both, in ns, and how often the flood got in, in a second. The OPTIONs are the
 * server's.
 *
 * The floor: a process that closes each connection of that user as soon as it has seen whose it is,
 * and sends the others the three messages. What the kernel makes a newcomer wait, it waits there
 * too.
 *
 * KINDs of flood: "leave" hangs up at once; "stay" keeps its latest 1,000 connections and reads
 * nothing; "read" reads the first message of each and hangs up.
 */
#include "accept-floor.h"
#include "common.h"
#include "newcomer.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define STEP_NS   (NS_PER_S / 100) /* between two newcomers */
#define PHASE     50               /* samples, after which idle and flood change places */
#define N_STAYING 1000
#define BACKLOG   256            /* the server's, unless told otherwise */
#define WARM_UP   (NS_PER_S / 5) /* from the flood's start to the first sample */

typedef enum Kind { LEAVE, STAY, READ, N_KINDS } Kind;

static const char *const kinds[] = {[LEAVE] = "leave", [STAY] = "stay", [READ] = "read"};

typedef struct Plan {
    Kind kind;
    uid_t uid;
    unsigned n_samples;
    uint64_t *connects; /* shared with the flood */
} Plan;

enum { SERVER, FLOOR, N_SIDES };

typedef struct Side {
    const char *name, *path;
    pid_t pid;
    int64_t *idle, *flooded; /* samples */
    uint64_t connects;       /* of the flood, in the time that it lasted */
    int64_t lasted;
} Side;

static void become(uid_t uid)
{
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0))
        die("cannot become user %u", (unsigned)uid);
}

/* One connection; -1 if there is no room for it. */
static int connect_at_once(const struct sockaddr_un *address)
{
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (sock < 0)
        die("socket");
    if (connect(sock, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return sock;
    if (errno != EAGAIN)
        die("connect");
    (void)close(sock);
    return -1;
}

static void read_one(int sock)
{
    struct pollfd ready = {sock, POLLIN, 0};
    int64_t value;

    if (poll(&ready, 1, 1000) == 1)
        (void)!recv(sock, &value, sizeof(value), 0);
}

__attribute__((noreturn)) static void flood(const Plan *plan, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int staying[N_STAYING];

    memset(staying, -1, sizeof(staying));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    become(plan->uid);
    for (unsigned i = 0;; i = (i + 1) % N_STAYING) {
        int sock = connect_at_once(&address);

        if (sock < 0)
            continue;
        __atomic_fetch_add(plan->connects, 1, __ATOMIC_RELAXED);
        if (plan->kind == READ)
            read_one(sock);
        if (plan->kind == STAY) {
            if (staying[i] >= 0)
                (void)close(staying[i]);
            staying[i] = sock;
        } else {
            (void)close(sock);
        }
    }
}

static void sample(const char *path, int64_t *samples, unsigned n)
{
    int64_t when = now_ns();

    for (unsigned i = 0; i < n; i++) {
        int sock;

        when += STEP_NS;
        sleep_until(when);
        sock = newcomer_come(path, &samples[i]);
        if (sock < 0)
            die("a newcomer got no message");
        (void)close(sock);
        if (when < now_ns())
            when = now_ns();
    }
}

static void sample_flooded(const Plan *plan, Side *side, unsigned done, unsigned n)
{
    uint64_t connects_before = __atomic_load_n(plan->connects, __ATOMIC_RELAXED), before;
    pid_t child = start_child();
    int64_t began;

    if (child == 0)
        flood(plan, side->path);
    sleep_until(now_ns() + WARM_UP);
    before = __atomic_load_n(plan->connects, __ATOMIC_RELAXED);
    if (before == connects_before)
        die("the flood does not get in at %s", side->path);
    began = now_ns();
    sample(side->path, side->flooded + done, n);
    side->connects += __atomic_load_n(plan->connects, __ATOMIC_RELAXED) - before;
    side->lasted += now_ns() - began;
    stop_child(child);
}

static void print(Side *side, unsigned n_samples)
{
    (void)printf("\"%s\": {", side->name);
    newcomer_print("idle", side->idle, n_samples);
    (void)printf(", ");
    newcomer_print("flooded", side->flooded, n_samples);
    (void)printf(", \"connects_per_s\": %.0f}",
                 (double)side->connects * 1e9 / (double)side->lasted);
    side->connects = 0;
    side->lasted = 0;
}

/* One round: each side idle and flooded by turns, a phase each. */
static void measure(const Plan *plan, Side *sides)
{
    for (unsigned done = 0; done < plan->n_samples; done += PHASE) {
        unsigned n = plan->n_samples - done < PHASE ? plan->n_samples - done : PHASE;

        for (Side *side = sides; side < sides + N_SIDES; side++) {
            (void)cpu_ns_settled(side->pid);
            sample(side->path, side->idle + done, n);
            sample_flooded(plan, side, done, n);
        }
    }
    (void)printf("{");
    print(&sides[SERVER], plan->n_samples);
    (void)printf(", ");
    print(&sides[FLOOR], plan->n_samples);
    (void)printf("}\n");
    (void)fflush(stdout);
}

static void init_side(Side *side, const char *name, const BenchServer *server, pid_t pid,
                      unsigned n_samples)
{
    *side = (Side){.name = name, .path = server->path, .pid = pid};
    side->idle = calloc(2 * (size_t)n_samples, sizeof(*side->idle));
    if (!side->idle)
        die("no memory");
    side->flooded = side->idle + n_samples;
    /* Others may connect. */
    if (chmod(server->folder, 0755) < 0 || chmod(server->path, 0666) < 0)
        die("chmod");
}

static void start_floor(BenchServer *floor, uid_t unwanted)
{
    int listener;

    bench_server_make_folder(floor);
    listener = floor_listen(floor->path, BACKLOG);
    if ((floor->pid = start_child()) == 0)
        floor_turn_away(listener, unwanted);
    (void)close(listener);
}

static Kind find_kind(const char *name)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        if (strcmp(kinds[kind], name) == 0)
            return (Kind)kind;
    die("'%s' is no kind of flood", name);
}

int main(int argc, char **argv)
{
    BenchServer server, bare;
    Side sides[N_SIDES];
    Plan plan;

    if (argc < 6)
        die("usage: bench-flood SERVER KIND UID SAMPLES ROUNDS [OPTION...]");
    plan.kind = find_kind(argv[2]);
    plan.uid = (uid_t)argument(argv[3], 0, INT32_MAX);
    plan.n_samples = (unsigned)argument(argv[4], 1, 1000000);
    plan.connects = mmap(NULL, sizeof(*plan.connects), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (plan.connects == MAP_FAILED)
        die("no memory");
    raise_fd_limit();
    bench_server_start_with(&server, argv[1], 1, 0, argv + 6);
    start_floor(&bare, plan.uid);
    init_side(&sides[SERVER], "server", &server, bench_worker(server.pid), plan.n_samples);
    init_side(&sides[FLOOR], "floor", &bare, bare.pid, plan.n_samples);
    for (int64_t left = argument(argv[5], 1, 1000); left > 0; left--)
        measure(&plan, sides);
    bench_server_stop(&server);
    bench_server_stop(&bare);
    for (int i = 0; i < N_SIDES; i++)
        free(sides[i].idle);
    return EXIT_SUCCESS;
}
