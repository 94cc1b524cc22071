/* SPDX-License-Identifier: MIT */
/*
 * bench-flood SERVER KIND UID SAMPLES ROUNDS [OPTION...]
 *
 * How long a newcomer waits from connect() to the memory while a process of another user, UID,
 * connects as fast as it can, and while nobody does, by turns. For each round it prints a line with
 * the percentiles of both, in ns, and how often the flood got in, in a second. The OPTIONs are the
 * server's.
 *
 * KINDs of flood: "leave" hangs up at once; "stay" keeps its latest 1,000 connections and reads
 * nothing; "read" reads the first message of each and hangs up.
 */
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
#define WARM_UP   (NS_PER_S / 5) /* from the flood's start to the first sample */

typedef enum Kind { LEAVE, STAY, READ, N_KINDS } Kind;

static const char *const kinds[] = {[LEAVE] = "leave", [STAY] = "stay", [READ] = "read"};

typedef struct Plan {
    Kind kind;
    uid_t uid;
    unsigned n_samples;
    uint64_t *connects; /* shared with the flood */
} Plan;

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

static void measure(const Plan *plan, const BenchServer *server, int64_t *samples)
{
    int64_t *flooded = samples + plan->n_samples, lasted = 0;
    uint64_t connects = 0;

    for (unsigned done = 0; done < plan->n_samples; done += PHASE) {
        unsigned n = plan->n_samples - done < PHASE ? plan->n_samples - done : PHASE;
        uint64_t before;
        int64_t began;
        pid_t child;

        (void)cpu_ns_settled(bench_worker(server->pid));
        sample(server->path, samples + done, n);
        if ((child = start_child()) == 0)
            flood(plan, server->path);
        sleep_until(now_ns() + WARM_UP);
        before = __atomic_load_n(plan->connects, __ATOMIC_RELAXED);
        began = now_ns();
        sample(server->path, flooded + done, n);
        connects += __atomic_load_n(plan->connects, __ATOMIC_RELAXED) - before;
        lasted += now_ns() - began;
        stop_child(child);
    }
    (void)printf("{");
    newcomer_print("idle", samples, plan->n_samples);
    (void)printf(", ");
    newcomer_print("flooded", flooded, plan->n_samples);
    (void)printf(", \"connects_per_s\": %.0f}\n", (double)connects * 1e9 / (double)lasted);
    (void)fflush(stdout);
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
    BenchServer server;
    int64_t *samples;
    Plan plan;

    if (argc < 6)
        die("usage: bench-flood SERVER KIND UID SAMPLES ROUNDS [OPTION...]");
    plan.kind = find_kind(argv[2]);
    plan.uid = (uid_t)argument(argv[3], 0, INT32_MAX);
    plan.n_samples = (unsigned)argument(argv[4], 1, 1000000);
    plan.connects = mmap(NULL, sizeof(*plan.connects), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    samples = calloc(2 * (size_t)plan.n_samples, sizeof(*samples));
    if (!samples || plan.connects == MAP_FAILED)
        die("no memory");
    raise_fd_limit();
    bench_server_start_with(&server, argv[1], 1, 0, argv + 6);
    if (chmod(server.folder, 0755) < 0 || chmod(server.path, 0666) < 0)
        die("chmod");
    for (int64_t left = argument(argv[5], 1, 1000); left > 0; left--)
        measure(&plan, &server, samples);
    bench_server_stop(&server);
    free(samples);
    return EXIT_SUCCESS;
}
