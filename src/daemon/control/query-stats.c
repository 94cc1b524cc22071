/* SPDX-License-Identifier: MIT */
/* The counters of regions. */
#include "daemon/control/command.h"
#include "daemon/control/find.h"
#include "daemon/control/refusal.h"

#define MESSAGE_SIZE 8 /* bytes */

static json_t *refusals(const IvshmemServerStats *stats)
{
    json_t *counts = json_object();

    for (int i = 0; i < IVSHMEM_SERVER_N_REFUSALS; i++)
        (void)json_object_set_new(counts, refusal_name((IvshmemServerRefusal)i),
                                  json_integer((json_int_t)stats->n_refusals[i]));
    return counts;
}

/* Each bucket counts what is in it alone; the last one has no bound. */
static json_t *latency(const IvshmemServerStats *stats)
{
    json_t *buckets = json_array();

    for (int i = 0; i < IVSHMEM_SERVER_LATENCY_BUCKETS; i++) {
        json_t *bucket = json_pack("{s:I}", "count", (json_int_t)stats->latency[i]);

        if (i < IVSHMEM_SERVER_LATENCY_BUCKETS - 1)
            (void)json_object_set_new(bucket, "up-to-us", json_integer((json_int_t)10 << i));
        (void)json_array_append_new(buckets, bucket);
    }
    return json_pack("{s:I,s:o}", "sum-ns", (json_int_t)stats->latency_sum, "buckets", buckets);
}

/* What the clients of a region are now. */
typedef struct Present {
    json_int_t n_clients, n_observers, n_pending, n_fds;
} Present;

static Present look(const DaemonRegion *region)
{
    const IvshmemServerPeer *peer;
    Present present = {0};

    IVSHMEM_SERVER_FOREACH_PEER(peer, &region->server) {
        present.n_clients++;
        present.n_observers += peer->id < 0;
        present.n_pending += ivshmem_server_pending(&region->server, peer);
        present.n_fds += 1 + peer->vectors_count;
    }
    return present;
}

static json_t *describe(const DaemonRegion *region)
{
    Present present = look(region);
    unsigned most = ivshmem_server_max_clients(&region->server);
    IvshmemServerStats stats;

    ivshmem_server_stats(&region->server, &stats);
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:I,s:I,s:o,s:I,s:I}", "region",
                     region->settings.name, "clients", present.n_clients, "observers",
                     present.n_observers, "max-clients", (json_int_t)most, "ids-left",
                     (json_int_t)ivshmem_server_ids_left(&region->server), "ids-used",
                     (json_int_t)ivshmem_server_ids_used(&region->server), "joins",
                     (json_int_t)stats.n_joins, "departures", (json_int_t)stats.n_departures,
                     "refusals", refusals(&stats), "messages", (json_int_t)stats.n_messages,
                     "bytes", (json_int_t)stats.n_messages * MESSAGE_SIZE, "retries",
                     (json_int_t)stats.n_retries, "pending", present.n_pending, "latency",
                     latency(&stats), "fds-used", present.n_fds, "fds-allowed",
                     (json_int_t)most * (1 + region->server.n_vectors));
}

int run_query_stats(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    DaemonRegion *only, *region;
    int r = find_region(daemon, arguments, &only, error);

    if (r < 0)
        return r;
    *result = json_array();
    FIND_FOREACH(region, daemon, only)
    {
        (void)json_array_append_new(*result, describe(region));
    }
    return 0;
}
