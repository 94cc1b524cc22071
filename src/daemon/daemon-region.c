/* SPDX-License-Identifier: MIT */
#include "daemon/daemon-region.h"

#include "daemon/control/events.h"
#include "daemon/daemon.h"
#include "daemon/process/keeper.h"
#include "daemon/process/report.h"
#include "daemon/resume/record.h"
#include "daemon/resume/unfinished.h"
#include "daemon/settings/libvirt.h"
#include "server/core.h"
#include "util/cleanup.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define CALL_LEAST 65536 /* bytes of new state that are worth a look */

static void log_to_report(void *opaque, int priority, const char *line)
{
    const DaemonRegion *region = opaque;

    report_line(priority, region->daemon->shows_names ? region->settings.name : NULL, line);
}

/* While the library opens its own first listener, which nobody can use before it listens, there is
 * no row for it yet. */
static IvshmemServerAdmission judge(void *opaque, const IvshmemServer *server, int listener,
                                    const IvshmemServerCredentials *who)
{
    const DaemonRegion *region = opaque;

    (void)server;
    if (listener >= region->n_listeners || !region->listeners[listener])
        return IVSHMEM_SERVER_REFUSE;
    return policy_judge(&region->listeners[listener]->settings.policy, who);
}

static void tell_connected(void *opaque, IvshmemServer *server, const IvshmemServerPeer *peer)
{
    (void)server;
    events_client_connected(opaque, peer);
}

static void tell_left(void *opaque, IvshmemServer *server, const IvshmemServerPeer *peer)
{
    (void)server;
    events_client_left(opaque, peer);
}

static void tell_refused(void *opaque, IvshmemServer *server, int listener,
                         IvshmemServerRefusal reason, const IvshmemServerCredentials *who)
{
    (void)server;
    events_client_refused(opaque, listener, reason, who);
}

/* Has whoever stands by map what has come to the state, when it is a good part of it. */
static void call_for(DaemonRegion *region)
{
    uint64_t used = ivshmem_server_state_used(&region->server);

    if (region->state_fd < 0 || used < region->state_called + region->state_called / 4 + CALL_LEAST)
        return;
    region->state_called = used;
    keeper_call();
}

static void dispatch(void *owner, uint32_t events)
{
    DaemonRegion *region = owner;
    int r = ivshmem_server_dispatch(&region->server);

    (void)events;
    if (r == 0) {
        call_for(region);
        return;
    }
    report_error("%s", ivshmem_server_error(&region->server));
    region->daemon->status = r;
    loop_stop(&region->daemon->loop);
}

#pragma GCC diagnostic push
#ifndef __clang__ /* gcc 12 takes what an element of a table points to for lost */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
/* Makes room for a listener of the library at its index. */
static int make_place(DaemonRegion *region, int index)
{
    DaemonListener **more;

    if (index < region->n_listeners)
        return 0;
    more = reallocarray(region->listeners, (size_t)index + 1, sizeof(DaemonListener *));
    if (!more)
        return -ENOMEM;
    for (int i = region->n_listeners; i <= index; i++)
        more[i] = NULL;
    region->listeners = more;
    region->n_listeners = index + 1;
    return 0;
}

/* Keeps what it is for. */
static int keep_listener(DaemonRegion *region, int index, const ListenerSettings *settings)
{
    DaemonListener **place;

    if (make_place(region, index) < 0)
        return -ENOMEM;
    place = &region->listeners[index];
    *place = malloc(sizeof(**place));
    if (!*place)
        return -ENOMEM;
    **place = (DaemonListener){.settings = *settings};
    (*place)->settings.index = index;
    listener_settings_link(&(*place)->settings);
    return 0;
}

static void forget_listener(DaemonRegion *region, int index)
{
    if (index < region->n_listeners) {
        free(region->listeners[index]);
        region->listeners[index] = NULL;
    }
}
#pragma GCC diagnostic pop

int daemon_region_find_listener(const DaemonRegion *region, const char *name)
{
    for (int i = 0; i < region->n_listeners; i++)
        if (region->listeners[i] && strcmp(region->listeners[i]->settings.name, name) == 0)
            return i;
    return -1;
}

unsigned daemon_region_count_clients(const DaemonRegion *region)
{
    IvshmemServerListenerInfo info;
    unsigned n = 0;

    for (int i = 0; i < region->n_listeners; i++)
        if (ivshmem_server_listener_info(&region->server, i, &info) == 0)
            n += info.n_clients;
    return n;
}

/* Why the kernel refuses something once it is confined: a reason that is not in the file system. */
static const char *lack_of_rights(int r)
{
    switch (r) {
    case -EACCES:
        return " (rights that were given up after the start; --listen-folder keeps those to a "
               "folder)";
    case -EPERM:
        return " (the right to give sockets to other owners, and to groups that no socket had at "
               "the start, was given up then)";
    default:
        return "";
    }
}

/* What we refuse by ourselves says why. */
static int explain(const DaemonRegion *region, int r, ErrorText *error)
{
    const char *text = ivshmem_server_error(&region->server);
    bool is_the_kernels = region->daemon->is_confined && strstr(text, strerror(-r));

    return error_set(error, r, "%s%s", text, is_the_kernels ? lack_of_rights(r) : "");
}

/* A next worker reads them as settings, which have room for so many. */
static bool is_full(const DaemonRegion *region)
{
    unsigned n = 0;

    for (int i = 0; i < region->n_listeners; i++)
        n += region->listeners[i] != NULL;
    return n >= SETTINGS_MAX_SOCKETS;
}

static int add_listener(DaemonRegion *region, const ListenerSettings *settings, ErrorText *error)
{
    IvshmemServerListenerConfig config = settings->config;
    int r, index;

    if (is_full(region))
        return error_set(error, -ENOSPC, "no room for another listener: a region has %d at most",
                         SETTINGS_MAX_SOCKETS);
    config.socket_fd = passed_find(region->daemon->passed, settings->path);
    index = ivshmem_server_listener_add(&region->server, &config);
    if (index < 0)
        return explain(region, index, error);
    r = keep_listener(region, index, settings);
    if (r < 0)
        (void)error_set(error, r, "no room for another listener: %s", strerror(-r));
    else
        r = libvirt_link(settings, error);
    if (r < 0) {
        (void)ivshmem_server_listener_remove(&region->server, index, true);
        forget_listener(region, index);
        return r;
    }
    return index;
}

static int cannot_write_down(int r, ErrorText *error)
{
    return error_set(error, r, "cannot write down the listener: %s", strerror(-r));
}

int daemon_region_add_listener(DaemonRegion *region, const ListenerSettings *settings,
                               ErrorText *error)
{
    Daemon *daemon = region->daemon;
    int index = -1, r = unfinished_listener(daemon, settings);

    if (r == 0 && (r = record_write(daemon)) == 0)
        index = add_listener(region, settings, error);
    unfinished_end(daemon);
    if (r < 0)
        return cannot_write_down(r, error);
    r = record_write(daemon);
    if (index < 0)
        return index;
    if (r < 0) {
        (void)ivshmem_server_listener_remove(&region->server, index, true);
        libvirt_unlink(settings);
        forget_listener(region, index);
        return cannot_write_down(r, error);
    }
    events_listener_added(region, settings);
    return index;
}

int daemon_region_remove_listener(DaemonRegion *region, int listener, bool force, ErrorText *error)
{
    Daemon *daemon = region->daemon;
    const ListenerSettings *settings = &region->listeners[listener]->settings;
    int r;

    if (unfinished_listener(daemon, settings) == 0)
        (void)record_write(daemon);
    r = ivshmem_server_listener_remove(&region->server, listener, force);
    if (r < 0) {
        unfinished_end(daemon);
        (void)record_write(daemon);
        return error_set(error, r, "%s", ivshmem_server_error(&region->server));
    }
    libvirt_unlink(settings);
    events_listener_removed(region, settings);
    forget_listener(region, listener);
    unfinished_end(daemon);
    /* What says too much is left out by whoever goes on: the region's own state says that it has
     * gone. */
    (void)record_write(daemon);
    return 0;
}

/* The library opens the first listener together with the memory, under one lock, if it can. */
static int start(DaemonRegion *region, const RegionSettings *settings, ErrorText *error)
{
    const ListenerSettings *listeners = settings->listeners;
    bool has_first = settings->n_listeners && listener_settings_are_plain(&listeners[0]);
    int r;

    if (has_first) {
        IvshmemServerConfig *config = &region->settings.config;

        config->unix_sock_path = listeners[0].path;
        config->socket_mode = listeners[0].config.socket_mode;
        config->socket_uid = listeners[0].config.socket_uid;
        config->socket_gid = listeners[0].config.socket_gid;
        config->socket_fd = passed_find(region->daemon->passed, listeners[0].path);
        config->backlog = listeners[0].config.backlog;
        config->max_accepts_per_s = listeners[0].config.max_accepts_per_s;
    }
    if ((r = ivshmem_server_init_config(&region->server, &region->settings.config)) < 0 ||
        (r = ivshmem_server_start(&region->server)) < 0)
        return explain(region, r, error);
    region->settings.config.unix_sock_path = NULL;
    region->settings.config.socket_fd = -1;
    if (has_first && (r = keep_listener(region, 0, &listeners[0])) < 0)
        return error_set(error, r, "%s", strerror(-r));
    for (unsigned i = has_first; r >= 0 && i < settings->n_listeners; i++)
        r = add_listener(region, &listeners[i], error);
    return r < 0 ? r : 0;
}

/* Where the server keeps what it must remember, if a next process is to go on with it. */
static int make_state(DaemonRegion *region, ErrorText *error)
{
    region->state_fd = -1;
    if (!region->daemon->keeps_state)
        return 0;
    region->state_fd = memfd_create("ivshmem-state", MFD_CLOEXEC);
    region->settings.config.state_fd = region->state_fd;
    if (region->state_fd < 0)
        return error_set(error, -errno, "cannot make a memfd for the state: %s%s", strerror(errno),
                         errno == EMFILE ? " (see ulimit -n)" : "");
    return 0;
}

static void destroy(void *owner)
{
    daemon_region_free(owner);
}

/* A region with these settings that is not open yet. Its listeners stay the caller's. */
static DaemonRegion *new_region(Daemon *daemon, const RegionSettings *settings, ErrorText *error)
{
    DaemonRegion *region = calloc(1, sizeof(*region));
    IvshmemServerConfig *config;

    if (!region) {
        (void)error_set(error, -ENOMEM, "no memory for region %s", settings->name);
        return NULL;
    }
    region->daemon = daemon;
    region->state_fd = -1;
    region->settings = *settings;
    region->settings.listeners = NULL;
    region->settings.n_listeners = 0;
    region_settings_link(&region->settings);
    config = &region->settings.config;
    config->opaque = region;
    config->log = log_to_report;
    config->admit = judge;
    config->peer_connected = tell_connected;
    config->peer_left = tell_left;
    config->client_refused = tell_refused;
    return region;
}

/* Its events are handled from here on. */
static int watch(DaemonRegion *region, ErrorText *error)
{
    ServerCore *core = region->server.core_;
    int r;

    flight_share(&core->flight, &region->daemon->flight);
    core_tell_limit(core, region->settings.has_share);
    region->handler = (LoopHandler){
        .fd = ivshmem_server_get_fd(&region->server),
        .ready = dispatch,
        .destroy = destroy,
        .owner = region,
    };
    r = loop_add(&region->daemon->loop, &region->handler, EPOLLIN);
    return r < 0 ? error_set(error, r, "cannot poll: %s", strerror(-r)) : 0;
}

int daemon_region_open(Daemon *daemon, RegionSettings *settings, DaemonRegion **out,
                       ErrorText *error)
{
    _cleanup_(region_settings_free) RegionSettings taken;
    DaemonRegion *region;
    int r;

    region_settings_move(&taken, settings);
    region = new_region(daemon, &taken, error);
    if (!region)
        return -ENOMEM;
    if ((r = make_state(region, error)) < 0 || (r = start(region, &taken, error)) < 0 ||
        (r = watch(region, error)) < 0) {
        daemon_region_free(region);
        return r;
    }
    *out = region;
    return 0;
}

/* A listener of which nobody knows any more what it is for, or none that it was for: a process was
 * killed while it made or removed it. */
static int match_listeners(DaemonRegion *region, const RegionSettings *settings, ErrorText *error)
{
    IvshmemServerListenerInfo info;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < settings->n_listeners; i++) {
        const ListenerSettings *listener = &settings->listeners[i];

        if (ivshmem_server_listener_info(&region->server, listener->index, &info) == 0 &&
            strcmp(info.unix_sock_path, listener->path) == 0)
            r = keep_listener(region, listener->index, listener);
    }
    for (int i = 0; r == 0 && i < ivshmem_server_n_listeners(&region->server); i++)
        if (i >= region->n_listeners || !region->listeners[i])
            (void)ivshmem_server_listener_remove(&region->server, i, true);
    return r < 0 ? error_set(error, r, "%s", strerror(-r)) : 0;
}

int daemon_region_resume(Daemon *daemon, const RegionSettings *settings, DaemonRegion **out,
                         ErrorText *error)
{
    DaemonRegion *region = new_region(daemon, settings, error);
    int r;

    if (!region)
        return -ENOMEM;
    region->state_fd = region->settings.config.state_fd;
    r = ivshmem_server_init_config(&region->server, &region->settings.config);
    if (r == 0)
        r = ivshmem_server_resume_mapped(&region->server,
                                         ahead_take(&daemon->ahead, region->state_fd));
    if (r < 0)
        (void)error_set(error, r, "region %s: %s", settings->name,
                        ivshmem_server_error(&region->server));
    if (r < 0 || (r = match_listeners(region, settings, error)) < 0 ||
        (r = watch(region, error)) < 0) {
        daemon_region_abandon(region);
        return r;
    }
    *out = region;
    return 0;
}

static void free_memory(DaemonRegion *region)
{
    for (int i = 0; i < region->n_listeners; i++)
        free(region->listeners[i]);
    free(region->listeners);
    free(region);
}

void daemon_region_abandon(DaemonRegion *region)
{
    ivshmem_server_abandon(&region->server);
    free_memory(region);
}

void daemon_region_close(DaemonRegion *region)
{
    ivshmem_server_close(&region->server);
    for (int i = 0; i < region->n_listeners; i++)
        if (region->listeners[i])
            libvirt_unlink(&region->listeners[i]->settings);
    for (int i = 0; i < region->n_listeners; i++)
        forget_listener(region, i);
}

void daemon_region_free(DaemonRegion *region)
{
    if (!region)
        return;
    daemon_region_close(region);
    fd_close(region->state_fd);
    free_memory(region);
}
