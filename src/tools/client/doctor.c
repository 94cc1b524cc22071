/* SPDX-License-Identifier: MIT */
/* doctor: what is wrong, in plain words, and what to do about it. */
#include "tools/client/doctor.h"

#include "tools/client/ping.h"
#include "util/cleanup.h"
#include "util/plural.h"
#include "util/signals.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define N_PINGS         3
#define PING_TIMEOUT_MS 1000

__attribute__((format(printf, 2, 0))) static void show(const char *kind, const char *format,
                                                       va_list arguments)
{
    (void)printf("%s ", kind);
    (void)vprintf(format, arguments);
    (void)puts("");
}

void doctor_good(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    show("good:   ", format, arguments);
    va_end(arguments);
}

void doctor_bad(Doctor *doctor, const char *remedy, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    show("problem:", format, arguments);
    va_end(arguments);
    if (remedy)
        (void)printf("          %s\n", remedy);
    doctor->n_problems++;
}

/* How many vectors we think that the peer has. On the host, the server has said; in a guest, a
 * device should have as many as every other. */
static unsigned vectors_of(const IvshmemPort *port, unsigned peer)
{
    unsigned n_vectors = ivshmem_port_n_vectors(port);
    int n = ivshmem_port_peers(port, NULL, 0);
    _cleanup_free_ IvshmemPortPeer *peers = calloc(n > 0 ? (size_t)n : 1, sizeof(*peers));

    n = peers ? ivshmem_port_peers(port, peers, n > 0 ? (size_t)n : 0) : 0;
    for (int i = 0; i < n; i++)
        if (peers[i].id == peer)
            n_vectors = peers[i].n_vectors;
    return n_vectors;
}

static void judge(Doctor *doctor, const IvshmemPort *port, const PingRun *run, int result)
{
    unsigned announced = vectors_of(port, run->peer);

    if (result == -ENOENT)
        doctor_bad(doctor, NULL, "there is no peer %u", run->peer);
    else if (result == -ETIMEDOUT)
        doctor_bad(doctor, "run '" PROGRAM " pong' there; in a guest, '" PROGRAM " doctor' too",
                   "peer %u does not answer within %d ms", run->peer, run->timeout_ms);
    else if (result < 0)
        doctor_bad(doctor, NULL, "peer %u cannot be rung: %s", run->peer, strerror(-result));
    else if (run->pong_vectors != announced)
        doctor_bad(doctor, "give both the same number (QEMU: vectors=; the server: --vectors)",
                   "peer %u has %u vector%s for itself, and %u for us", run->peer,
                   run->pong_vectors, plural(run->pong_vectors), announced);
    else
        doctor_good("peer %u answers, in %.0f us", run->peer, (double)run->times[run->n - 1] / 1e3);
}

void doctor_check_peer(Doctor *doctor, IvshmemPort *port)
{
    _cleanup_close_ int signals = -1;
    int64_t times[N_PINGS];
    PingRun run = {
        .peer = (unsigned)doctor->peer,
        .timeout_ms = PING_TIMEOUT_MS,
        .count = N_PINGS,
        .times = times,
    };
    Link link;

    if (doctor->peer < 0)
        return;
    (void)fflush(stdout); /* before what goes to standard error */
    signals = signals_open(0);
    if (signals < 0 || link_init(&link, port, doctor->options, signals) != STATUS_OK ||
        link_check_empty(&link, doctor->options) != STATUS_OK) {
        doctor_bad(doctor, NULL, "peer %u cannot be asked to answer", run.peer);
        return;
    }
    judge(doctor, port, &run, ping_run(&link, &run));
}

/* What the options name; without any, what there is. */
static int check(Doctor *doctor)
{
    const ToolOptions *options = doctor->options;
    struct stat status;

    if (options->port && strncmp(options->port, UNIX_SCHEME, strlen(UNIX_SCHEME)) == 0)
        doctor_check_socket(doctor, options->port + strlen(UNIX_SCHEME));
    else if (options->socket)
        doctor_check_socket(doctor, options->socket);
    else if (options->port || stat(DEFAULT_SOCKET, &status) < 0)
        return doctor_check_devices(doctor);
    else
        doctor_check_socket(doctor, DEFAULT_SOCKET);
    return STATUS_OK;
}

int run_doctor(const ToolOptions *options)
{
    Doctor doctor = {.options = options, .peer = -1};
    uint64_t peer;

    if (options->n_arguments > 0) {
        if (tool_number("peer", options->arguments[0], ID_MAX, &peer) != STATUS_OK)
            return STATUS_ERROR;
        doctor.peer = (int64_t)peer;
    }
    if (check(&doctor) != STATUS_OK)
        return STATUS_ERROR;
    return doctor.n_problems ? STATUS_ERROR : STATUS_OK;
}
