/* SPDX-License-Identifier: MIT */
/*
 * ping: how long it takes a peer to answer. The clock is read once a round trip, at its end, unless
 * there is an interval between two.
 */
#include "tools/client/ping.h"

#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_COUNT      1000
#define DEFAULT_TIMEOUT_MS 5000

/* Gives the number before the first ping. */
static uint64_t begin(Link *link, const PingRun *run)
{
    LinkBlock *block = link->block;

    atomic_store(&block->magic, 0);
    atomic_store(&block->ping, 0);
    block->base = (uint64_t)deadline_now();
    atomic_store(&block->pong, block->base);
    block->id = (uint32_t)ivshmem_port_id(link->port);
    block->vector = link->vector;
    block->spins = run->spin;
    block->idle_ms = (uint32_t)run->interval_ms + 1000;
    atomic_store(&block->magic, LINK_MAGIC);
    return block->base;
}

static void end(Link *link)
{
    LinkBlock *block = link->block;

    atomic_store(&block->magic, 0);
    block->id = block->vector = block->spins = block->idle_ms = 0;
    block->base = 0;
    atomic_store(&block->ping, 0); /* a pong that spins sees that it is over */
    atomic_store(&block->pong, 0);
    block->pong_id = block->pong_vectors = 0;
}

/* Sends the ping after `last` and waits for its pong. */
static int round_trip(Link *link, PingRun *run, uint64_t last)
{
    LinkBlock *block = link->block;
    int left = run->timeout_ms;
    int64_t deadline = 0; /* known once the first ring has not been answered */
    int result = 0;

    atomic_store_explicit(&block->ping, last + 1, memory_order_release);
    if (!run->spin || run->n == 0)
        result = ivshmem_port_ring(link->port, run->peer, link->vector);
    while (result == 0) {
        int patience = left >= 0 && left < LINK_AGAIN_MS ? left : LINK_AGAIN_MS;
        int awaited = link_await(link, &block->pong, last, run->spin, patience);

        if (awaited != 0)
            return awaited < 0 ? awaited : 0;
        if (!deadline)
            deadline = left < 0 ? DEADLINE_NEVER : deadline_after(left - patience);
        left = deadline_left(deadline);
        if (left == 0)
            return -ETIMEDOUT;
        run->n_again++;
        result = ivshmem_port_ring(link->port, run->peer, link->vector);
    }
    return result;
}

/* Waits for the next one's time. */
static int rest(const Link *link, int interval_ms)
{
    struct pollfd signals = {.fd = link->signals, .events = POLLIN};
    int64_t deadline = deadline_after(interval_ms);
    int left;

    while ((left = deadline_left(deadline)) > 0)
        if (poll(&signals, 1, left) > 0)
            return -EINTR;
    return 0;
}

int ping_run(Link *link, PingRun *run)
{
    uint64_t base = begin(link, run);
    int64_t began;
    int result = 0;

    link_start();
    began = deadline_now();
    while (run->n < run->count) {
        int64_t now;

        result = round_trip(link, run, base + run->n);
        if (result < 0)
            break;
        now = deadline_now();
        run->times[run->n++] = now - began;
        began = now;
        if (run->n == run->count || run->interval_ms == 0)
            continue;
        result = rest(link, run->interval_ms);
        if (result < 0)
            break;
        began = deadline_now();
    }
    link_stop();
    run->pong_id = link->block->pong_id;
    run->pong_vectors = link->block->pong_vectors;
    end(link);
    return result;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* The time within which so many of a thousand round trips were done, in microseconds. */
static double percentile(const PingRun *run, unsigned per_mille)
{
    uint64_t rank = (run->n * per_mille + 999) / 1000;

    return (double)run->times[rank > 0 ? rank - 1 : 0] / 1000;
}

static const struct {
    const char *name;
    unsigned per_mille;
} figures[] = {{"min", 0}, {"p50", 500}, {"p90", 900}, {"p99", 990}, {"p99.9", 999}, {"max", 1000}};

static void show(const Link *link, PingRun *run, bool json)
{
    size_t n_figures = run->n > 0 ? sizeof(figures) / sizeof(figures[0]) : 0;

    qsort(run->times, run->n, sizeof(*run->times), compare);
    (void)printf(json ? "{\"peer\": %u, \"count\": %" PRIu64 ", \"spin\": %s, \"offset\": %" PRIu64
                        ", \"again\": %" PRIu64 ", \"unit\": \"us\""
                      : "peer %u round-trips %" PRIu64 " spin %s offset %" PRIu64
                        " rung-again %" PRIu64 "\n",
                 run->peer, run->n, run->spin ? (json ? "true" : "yes") : (json ? "false" : "no"),
                 link->offset, run->n_again);
    for (size_t i = 0; i < n_figures; i++)
        (void)printf(json ? ", \"%s\": %.3f" : "%s %.3f us\n", figures[i].name,
                     percentile(run, figures[i].per_mille));
    if (json)
        (void)puts("}");
}

static int explain(const PingRun *run, int result)
{
    switch (result) {
    case 0:
    case -EINTR:
        return run->n > 0 ? STATUS_OK : tool_error("interrupted");
    case -ETIMEDOUT:
        (void)tool_error("peer %u does not answer: does '" PROGRAM
                         " pong' run there, with the same --offset and --vector?",
                         run->peer);
        return STATUS_TIMEOUT;
    case -ENOENT:
        return tool_error(run->n > 0 ? "peer %u has gone" : "there is no peer %u", run->peer);
    case -ERANGE:
        return tool_error("peer %u has no such vector", run->peer);
    default:
        return tool_error("cannot ring peer %u: %s", run->peer, strerror(-result));
    }
}

int run_ping(const ToolOptions *options)
{
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    _cleanup_close_ int signals = -1;
    _cleanup_free_ int64_t *times = NULL;
    PingRun run = {
        .spin = options->spin,
        .interval_ms = options->interval_ms,
        .timeout_ms = options->timeout_ms < 0 ? DEFAULT_TIMEOUT_MS : options->timeout_ms,
        .count = options->count ? options->count : DEFAULT_COUNT,
    };
    uint64_t peer;
    Link link;
    int result;

    if (tool_number("peer", options->arguments[0], ID_MAX, &peer) != STATUS_OK ||
        tool_open(&port, options, NULL) != STATUS_OK)
        return STATUS_ERROR;
    run.peer = (unsigned)peer;
    times = calloc(run.count, sizeof(*times));
    if (!times)
        return tool_error("there is no memory for %" PRIu64 " round trips", run.count);
    run.times = times;
    signals = signals_open(0);
    if (signals < 0)
        return tool_error("cannot wait for signals: %s", strerror(-signals));
    if (link_init(&link, port, options, signals) != STATUS_OK ||
        link_check_empty(&link, options) != STATUS_OK)
        return STATUS_ERROR;
    result = ping_run(&link, &run);
    if (run.n > 0 || result == 0)
        show(&link, &run, options->json);
    (void)fflush(stdout);
    return explain(&run, result);
}
