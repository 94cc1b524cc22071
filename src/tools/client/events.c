/* SPDX-License-Identifier: MIT */
/*
 * wait and watch: what happens, a line each, flushed at once. As text "ring vector=0", as JSON
 * {"event": "ring", "vector": 0}; all values are numbers.
 */
#include "tools/client/tool.h"

#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/signals.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define ANY_VECTOR UINT64_MAX

typedef struct Watch {
    bool json;
    bool peers;      /* show them come and go */
    uint64_t vector; /* end when it is rung, if `until_rung` */
    bool until_rung;
    bool rung;
    bool ready; /* has been shown */
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

static void on_ring(const IvshmemClient *client, const IvshmemClientPeer *peer, unsigned vector,
                    void *arg)
{
    Watch *watch = arg;

    (void)client, (void)peer;
    show(watch, "ring", &(Field){"vector", vector}, 1);
    watch->rung |= watch->vector == ANY_VECTOR || watch->vector == vector;
}

static void on_connected(const IvshmemClient *client, const IvshmemClientPeer *peer, void *arg)
{
    const Field fields[] = {{"id", peer->id}, {"vectors", peer->vectors_count}};

    (void)client;
    show(arg, "peer-connected", fields, 2);
}

static void on_left(const IvshmemClient *client, const IvshmemClientPeer *peer, void *arg)
{
    (void)client;
    show(arg, "peer-left", &(Field){"id", peer->id}, 1);
}

/* Shows, once, that the set-up is over; that is also when it is clear which vectors we have. */
static int check_ready(const IvshmemClient *client, Watch *watch)
{
    const Field fields[] = {
        {"id", client->local.id},
        {"vectors", client->local.vectors_count},
        {"peers", client->peer_list.count},
    };

    if (watch->ready || !ivshmem_client_is_ready(client))
        return STATUS_OK;
    watch->ready = true;
    if (watch->until_rung && watch->vector != ANY_VECTOR &&
        watch->vector >= client->local.vectors_count)
        return tool_error("there is no vector %llu: we have %u", (unsigned long long)watch->vector,
                          client->local.vectors_count);
    show(watch, "ready", fields, 3);
    return STATUS_OK;
}

static int dispatch(IvshmemClient *client, const ToolOptions *options, Watch *watch)
{
    if (ivshmem_client_dispatch(client) < 0 && !(watch->until_rung && watch->rung)) {
        show(watch, "disconnected", NULL, 0);
        return tool_error("%s: %s", options->socket, ivshmem_client_error(client));
    }
    if (ferror(stdout))
        return tool_flush();
    return check_ready(client, watch);
}

/* Until what is waited for, a signal, the deadline or an error. */
static int loop(IvshmemClient *client, const ToolOptions *options, Watch *watch, int signals)
{
    struct pollfd fds[] = {
        {.fd = ivshmem_client_get_fd(client), .events = POLLIN},
        {.fd = signals, .events = POLLIN},
    };
    int64_t deadline = DEADLINE_NEVER;

    for (;;) {
        bool was_ready = watch->ready;
        int r, status = dispatch(client, options, watch);

        if (status != STATUS_OK || (watch->until_rung && watch->rung))
            return status;
        if (watch->ready && !was_ready)
            deadline = deadline_after(options->timeout_ms);
        if (deadline_left(deadline) == 0)
            return STATUS_TIMEOUT;
        r = poll(fds, 2, deadline_left(deadline));
        if (r < 0 && errno != EINTR)
            return tool_error("cannot wait for events: %s", strerror(errno));
        if (r > 0 && fds[1].revents)
            return watch->until_rung ? tool_error("interrupted") : STATUS_OK;
    }
}

static int run(IvshmemClient *client, const ToolOptions *options, Watch *watch)
{
    _cleanup_close_ int signals = -1;
    int status = tool_init(client, options, on_ring, watch);

    if (status != STATUS_OK)
        return status;
    if (watch->peers)
        ivshmem_client_set_peer_callbacks(client, on_connected, on_left, watch);
    status = tool_connect(client, options, false);
    if (status != STATUS_OK)
        return status;
    signals = signals_open();
    if (signals < 0)
        return tool_error("cannot wait for signals: %s", strerror(-signals));
    return loop(client, options, watch, signals);
}

int run_wait(IvshmemClient *client, const ToolOptions *options)
{
    Watch watch = {.json = options->json, .until_rung = true, .vector = ANY_VECTOR};

    if (options->n_arguments > 0 &&
        tool_number("vector", options->arguments[0], IVSHMEM_CLIENT_MAX_VECTORS - 1,
                    &watch.vector) != STATUS_OK)
        return STATUS_ERROR;
    return run(client, options, &watch);
}

int run_watch(IvshmemClient *client, const ToolOptions *options)
{
    Watch watch = {.json = options->json, .peers = true};

    return run(client, options, &watch);
}
