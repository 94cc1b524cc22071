/* SPDX-License-Identifier: MIT */
/*
 * wait and watch: what happens, a line each, flushed at once. As text "ring vector=0", as JSON
 * {"event": "ring", "vector": 0}; all values are numbers.
 *
 * In a virtual machine each vector is readable once before it is rung, so that a program looks at
 * the memory. Here the line "ready" stands for that: it is taken before.
 */
#include "tools/client/tool.h"

#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/signals.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define ANY_VECTOR UINT64_MAX
#define SIGNALS    0 /* in the descriptors that are waited on */
#define NEWS       1
#define VECTORS    2 /* and the following */

typedef struct Watch {
    bool json;
    bool peers;      /* show them come and go */
    uint64_t vector; /* end when it is rung, if `until_rung` */
    bool until_rung;
    bool rung;
    unsigned n_peers;
    struct pollfd *fds; /* owned */
    unsigned n_vectors;
} Watch;

typedef struct Field {
    const char *key;
    long long value;
} Field;

static void show(const Watch *watch, const char *event, const Field *fields, size_t n)
{
    (void)printf(watch->json ? "{\"event\": \"%s\"" : "%s", event);
    for (size_t i = 0; i < n; i++)
        (void)printf(watch->json ? ", \"%s\": %lld" : " %s=%lld", fields[i].key, fields[i].value);
    (void)puts(watch->json ? "}" : "");
    (void)fflush(stdout);
}

static void on_connected(void *opaque, const IvshmemPortPeer *peer)
{
    const Field fields[] = {{"id", peer->id}, {"vectors", peer->n_vectors}};
    Watch *watch = opaque;

    watch->n_peers++;
    if (watch->peers)
        show(watch, "peer-connected", fields, 2);
}

static void on_left(void *opaque, const IvshmemPortPeer *peer)
{
    Watch *watch = opaque;

    watch->n_peers--;
    if (watch->peers)
        show(watch, "peer-left", &(Field){"id", peer->id}, 1);
}

static void free_fds(Watch *watch)
{
    free(watch->fds);
}

/* What to wait on. There can be more vectors later, with a server that hands them out in fits. */
static int prepare(const IvshmemPort *port, Watch *watch, int signals)
{
    unsigned n = ivshmem_port_n_vectors(port);
    struct pollfd *fds = realloc(watch->fds, (VECTORS + n) * sizeof(*fds));

    if (!fds)
        return tool_error("there is no memory for %u vectors", n);
    watch->fds = fds;
    watch->n_vectors = n;
    fds[SIGNALS] = (struct pollfd){.fd = signals, .events = POLLIN};
    fds[NEWS] = (struct pollfd){.fd = ivshmem_port_news_fd(port), .events = POLLIN};
    for (unsigned i = 0; i < n; i++)
        fds[VECTORS + i] = (struct pollfd){.fd = ivshmem_port_vector_fd(port, i), .events = POLLIN};
    return STATUS_OK;
}

static int show_ready(IvshmemPort *port, Watch *watch)
{
    const Field fields[] = {
        {"id", ivshmem_port_id(port)},
        {"vectors", watch->n_vectors},
        {"peers", watch->n_peers},
    };

    if (!ivshmem_port_has_interrupts(port))
        return tool_error("%s has no interrupts, so nothing tells when it is rung ('" PROGRAM
                          " doctor' says why)",
                          ivshmem_port_name(port));
    if (watch->until_rung && watch->vector != ANY_VECTOR && watch->vector >= watch->n_vectors)
        return tool_error("there is no vector %llu: we have %u", (unsigned long long)watch->vector,
                          watch->n_vectors);
    for (unsigned i = 0; i < watch->n_vectors && !tool_knows_peers(port); i++)
        (void)ivshmem_port_wait(port, i, 0);
    show(watch, "ready", fields, tool_knows_peers(port) ? 3 : 2);
    return tool_flush();
}

static void show_rings(IvshmemPort *port, Watch *watch)
{
    for (unsigned i = 0; i < watch->n_vectors; i++) {
        if (!watch->fds[VECTORS + i].revents || ivshmem_port_wait(port, i, 0) != 1)
            continue;
        show(watch, "ring", &(Field){"vector", i}, 1);
        watch->rung |= watch->vector == ANY_VECTOR || watch->vector == i;
    }
}

static int take_news(IvshmemPort *port, Watch *watch)
{
    if (ivshmem_port_dispatch(port) == 0)
        return STATUS_OK;
    show(watch, "disconnected", NULL, 0);
    return tool_error("%s", tool_last_error());
}

/* Until what is waited for, a signal, the deadline or an error. */
static int loop(IvshmemPort *port, Watch *watch, int signals, int64_t deadline)
{
    while (prepare(port, watch, signals) == STATUS_OK) {
        int left = deadline_left(deadline);
        int n = left == 0 ? 0 : poll(watch->fds, VECTORS + watch->n_vectors, left);

        if (n == 0) /* also while others are rung without end */
            return STATUS_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return tool_error("cannot wait for events: %s", strerror(errno));
        if (n < 0)
            continue;
        show_rings(port, watch);
        if (watch->until_rung && watch->rung)
            return STATUS_OK;
        if (watch->fds[NEWS].revents && take_news(port, watch) != STATUS_OK)
            return STATUS_ERROR;
        if (ferror(stdout))
            return tool_flush();
        if (watch->fds[SIGNALS].revents)
            return watch->until_rung ? tool_error("interrupted") : STATUS_OK;
    }
    return STATUS_ERROR;
}

static int run(const ToolOptions *options, Watch *watch)
{
    const IvshmemPortOptions want = {
        .no_memory = true,
        .connected = on_connected,
        .left = on_left,
        .opaque = watch,
    };
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    _cleanup_close_ int signals = -1;

    if (tool_open(&port, options, &want) != STATUS_OK)
        return STATUS_ERROR;
    signals = signals_open(0);
    if (signals < 0)
        return tool_error("cannot wait for signals: %s", strerror(-signals));
    if (prepare(port, watch, signals) != STATUS_OK || show_ready(port, watch) != STATUS_OK)
        return STATUS_ERROR;
    return loop(port, watch, signals, deadline_after(options->timeout_ms));
}

int run_wait(const ToolOptions *options)
{
    _cleanup_(free_fds)
        Watch watch = {.json = options->json, .until_rung = true, .vector = ANY_VECTOR};

    if (options->n_arguments > 0 &&
        tool_number("vector", options->arguments[0], VECTOR_MAX, &watch.vector) != STATUS_OK)
        return STATUS_ERROR;
    return run(options, &watch);
}

int run_watch(const ToolOptions *options)
{
    _cleanup_(free_fds) Watch watch = {.json = options->json, .peers = true, .vector = ANY_VECTOR};

    return run(options, &watch);
}
