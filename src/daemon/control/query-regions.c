/* SPDX-License-Identifier: MIT */
/* What can be asked of regions and their listeners. */
#include "daemon/control/command.h"
#include "daemon/control/find.h"
#include "daemon/control/json.h"

static const char *kind_of(const DaemonRegion *region)
{
    static const char *const kinds[] = {
        [IVSHMEM_SERVER_MEMORY_POSIX] = "shm-name",
        [IVSHMEM_SERVER_MEMORY_DIRECTORY] = "shm-dir",
        [IVSHMEM_SERVER_MEMORY_MEMFD] = "memfd",
    };

    return region->settings.config.huge_page_size ? "hugepages"
                                                  : kinds[region->settings.config.memory];
}

static json_t *describe(const DaemonRegion *region)
{
    int n_listeners = 0;

    for (int i = 0; i < region->n_listeners; i++) {
        IvshmemServerListenerInfo info;

        n_listeners += ivshmem_server_listener_info(&region->server, i, &info) == 0;
    }
    return json_pack("{s:s,s:I,s:s,s:o,s:i,s:i,s:i,s:i,s:i}", "name", region->settings.name, "size",
                     (json_int_t)region->server.shm_size, "memory", kind_of(region), "memory-name",
                     json_text(region->server.shm_path), "vectors", (int)region->server.n_vectors,
                     "listeners", n_listeners, "clients", (int)daemon_region_count_clients(region),
                     "max-clients", (int)ivshmem_server_max_clients(&region->server), "ids-left",
                     (int)ivshmem_server_ids_left(&region->server));
}

int run_query_regions(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    (void)arguments, (void)error;
    *result = json_array();
    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        (void)json_array_append_new(*result, describe(region));
    return 0;
}

static json_t *describe_listener(const DaemonRegion *region, const IvshmemServerListenerInfo *info)
{
    json_t *listener = json_pack(
        "{s:s,s:s,s:o,s:i,s:i,s:I,s:I,s:b,s:b}", "region", region->settings.name, "name",
        info->name, "path", json_text(info->unix_sock_path), "vectors", (int)info->n_vectors,
        "clients", (int)info->n_clients, "joins", (json_int_t)info->n_joins, "refusals",
        (json_int_t)info->n_refusals, "read-only", info->read_only, "observers", info->observers);

    if (info->max_clients)
        (void)json_object_set_new(listener, "max-clients", json_integer(info->max_clients));
    if (info->reserved_id >= 0)
        (void)json_object_set_new(listener, "reserved-id", json_integer(info->reserved_id));
    return listener;
}

int run_query_listeners(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    DaemonRegion *only, *region;
    int r = find_region(daemon, arguments, &only, error);

    if (r < 0)
        return r;
    *result = json_array();
    FIND_FOREACH(region, daemon, only)
    {
        for (int i = 0; i < region->n_listeners; i++) {
            IvshmemServerListenerInfo info;

            if (ivshmem_server_listener_info(&region->server, i, &info) == 0)
                (void)json_array_append_new(*result, describe_listener(region, &info));
        }
    }
    return 0;
}
