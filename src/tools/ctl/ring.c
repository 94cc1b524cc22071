/* SPDX-License-Identifier: MIT */
/* Ringing a peer: not by the server, which is on nobody's path, but as an observer of the region.
 */
#include "ivshmem-client.h"
#include "tools/ctl/ctl.h"
#include "util/size.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The path of the region's observers, in the list of its listeners; NULL if there is none. */
static const char *find_observers(const json_t *listeners)
{
    size_t i;
    json_t *listener;

    json_array_foreach(listeners, i, listener)
    {
        if (json_is_true(json_object_get(listener, "observers")))
            return json_string_value(json_object_get(listener, "path"));
    }
    return NULL;
}

static int notify(const IvshmemClient *client, uint64_t id, const char *vector_text)
{
    const IvshmemClientPeer *peer =
        ivshmem_client_search_peer((IvshmemClient *)(uintptr_t)client, (int64_t)id);
    uint64_t vector;
    int r;

    if (!peer)
        return ctl_error("there is no peer %llu", (unsigned long long)id);
    if (!vector_text || strcmp(vector_text, "all") == 0) {
        r = ivshmem_client_notify_all_vects(client, peer);
    } else {
        if (count_parse(vector_text, 0, peer->vectors_count - 1, &vector) < 0)
            return ctl_error("'%s' is not a vector of peer %llu: 0 to %u, or all", vector_text,
                             (unsigned long long)id, peer->vectors_count - 1);
        r = ivshmem_client_notify(client, peer, (unsigned)vector);
    }
    return r < 0 ? ctl_error("cannot ring peer %llu: %s", (unsigned long long)id, strerror(-r)) : 0;
}

static int ring_through(const char *path, const CtlOptions *options)
{
    static IvshmemClient client;
    const char *id_text = options->words[1];
    const char *vector = options->n_words > 2 ? options->words[2] : NULL;
    uint64_t id;
    int r, status;

    if (count_parse(id_text, 0, 65535, &id) < 0)
        return ctl_error("'%s' is not an ID from 0 to 65535", id_text);
    r = ivshmem_client_init(&client, path, NULL, NULL, false);
    if (r < 0)
        return ctl_error("the socket '%s': %s", path, strerror(-r));
    if (ivshmem_client_connect_timeout(&client, options->timeout_ms) < 0 ||
        ivshmem_client_wait_ready(&client, options->timeout_ms) < 0)
        status = ctl_error("%s: %s", path, ivshmem_client_error(&client));
    else
        status = notify(&client, id, vector);
    ivshmem_client_close(&client);
    return status;
}

/* A path that is relative is so to the server's folder, not to ours: such sockets lie beside the
 * control socket. Written to `out` if it differs. */
static const char *reach(const char *path, const char *control, char out[static PATH_MAX])
{
    const char *slash = strrchr(control, '/'), *base = strrchr(path, '/');

    if (*path == '/')
        return path;
    (void)snprintf(out, PATH_MAX, "%.*s%s", slash ? (int)(slash + 1 - control) : 0, control,
                   base ? base + 1 : path);
    return out;
}

int run_ring(Qmp *qmp, const CtlOptions *options)
{
    json_t *listeners;
    const char *path;
    char beside[PATH_MAX];
    int status;

    if (options->n_words < 2 || options->n_words > 3)
        return ctl_error("ring needs %s (see --help)", options->command->arguments);
    listeners = ctl_ask(qmp, "query-listeners", json_pack("{s:s}", "region", options->words[0]));
    if (!listeners)
        return EXIT_FAILURE;
    path = find_observers(listeners);
    status = path ? ring_through(reach(path, options->control, beside), options)
                  : ctl_error("region %s has no listener for observers", options->words[0]);
    json_decref(listeners);
    return status;
}
