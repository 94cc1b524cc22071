/* SPDX-License-Identifier: MIT */
/* Commands that change who is connected. */
#include "daemon/control/command.h"
#include "daemon/control/find.h"

#include <errno.h>

static bool is_meant(const IvshmemServerPeer *peer, const json_t *id, const json_t *pid)
{
    return (!id || peer->id == json_integer_value(id)) &&
           (!pid || peer->pid == json_integer_value(pid));
}

static int refuse(const DaemonRegion *region, const json_t *id, const json_t *pid, ErrorText *error)
{
    char which_id[32] = "", which_pid[48] = "";

    if (id)
        (void)snprintf(which_id, sizeof(which_id), " %lld", (long long)json_integer_value(id));
    if (pid)
        (void)snprintf(which_pid, sizeof(which_pid), " of process %lld",
                       (long long)json_integer_value(pid));
    return error_set(error, -ENOENT, "region %s has no client%s%s", region->settings.name, which_id,
                     which_pid);
}

int run_client_disconnect(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    const json_t *id = json_object_get(arguments, "id"), *pid = json_object_get(arguments, "pid");
    IvshmemServerPeer *peer, *next;
    DaemonRegion *region;
    int n = 0, r = find_region(daemon, arguments, &region, error);

    if (r < 0)
        return r;
    if (!id && !pid)
        return error_set(error, -EINVAL, "client-disconnect needs the argument 'id' or 'pid'");
    for (peer = IVSHMEM_LIST_FIRST(&region->server.peer_list); peer; peer = next) {
        next = IVSHMEM_LIST_NEXT(peer, next);
        if (!is_meant(peer, id, pid))
            continue;
        ivshmem_server_disconnect(&region->server, peer);
        n++;
    }
    if (n == 0)
        return refuse(region, id, pid, error);
    *result = json_pack("{s:i}", "disconnected", n);
    return 0;
}
