/* SPDX-License-Identifier: MIT */
#include "daemon/resume/record.h"

#include "daemon/process/report.h"
#include "daemon/resume/manifest.h"
#include "daemon/settings/settings-json.h"
#include "util/cleanup.h"

#include <string.h>

/* A text with a part more. NULL, and no text, if there is no memory: a text that lacks something
 * would have whoever goes on close it. */
static json_t *with(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *with_element(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) == 0)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *with_fd(json_t *text, const char *name, int fd)
{
    return fd < 0 ? text : with(text, name, json_integer(fd));
}

static json_t *write_listeners(const DaemonRegion *region)
{
    json_t *array = json_array();

    for (int i = 0; i < region->n_listeners; i++)
        if (region->listeners[i])
            array = with_element(array, settings_json_of_listener(&region->listeners[i]->settings));
    return array;
}

static json_t *write_region(const DaemonRegion *region)
{
    json_t *text = settings_json_of_region(&region->settings);

    text = with(text, "state-fd", json_integer(region->state_fd));
    return with(text, "listeners", write_listeners(region));
}

static json_t *write_regions(const Daemon *daemon)
{
    json_t *array = json_array();

    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        array = with_element(array, write_region(region));
    return array;
}

static json_t *write_control(const ListenSocket *socket)
{
    return json_pack("{s:o,s:i,s:i,s:I,s:I}", "path", settings_json_of_bytes(socket->path), "fd",
                     socket->fd, "lock-fd", socket->lock_fd, "device", (json_int_t)socket->device,
                     "inode", (json_int_t)socket->inode);
}

static json_t *write_pidfile(const Pidfile *pidfile)
{
    return json_pack("{s:o,s:i}", "path", settings_json_of_bytes(pidfile->path), "fd", pidfile->fd);
}

json_t *record_text(const Daemon *daemon)
{
    json_t *text =
        json_pack("{s:s,s:I}", "version", IVSHMEM_VERSION, "since", (json_int_t)daemon->started_at);
    text = with(text, "regions", write_regions(daemon));
    if (daemon->control.socket.fd >= 0)
        text = with(text, "control", write_control(&daemon->control.socket));
    if (daemon->pidfile.fd >= 0)
        text = with(text, "pidfile", write_pidfile(&daemon->pidfile));
    if (daemon->unfinished)
        text = with(text, "unfinished", json_incref(daemon->unfinished));
    if (daemon->n_reloads)
        text = with(text, "reloads", json_integer(daemon->n_reloads));
    text = with_fd(text, "predecessor-fd", daemon->predecessor_fd);
    return with_fd(text, "successor-fd", daemon->successor_fd);
}

int record_write(const Daemon *daemon)
{
    json_t *text;

    if (daemon->manifest_fd < 0)
        return 0;
    text = record_text(daemon);
    return text ? manifest_store(daemon->manifest_fd, text) : -ENOMEM;
}

static int read_fd(const json_t *text, const char *name)
{
    const json_t *fd = json_object_get(text, name);

    return fd ? (int)json_integer_value(fd) : -1;
}

static int read_listeners(json_t *text, RegionSettings *settings, ErrorText *error)
{
    json_t *listeners = json_object_get(text, "listeners"), *listener;
    size_t i;

    json_array_foreach(listeners, i, listener)
    {
        ListenerSettings *more = region_settings_add(settings);
        int r = more ? settings_json_read_listener(listener, more, error)
                     : error_set(error, -ENOMEM, "no memory for the listeners");

        if (r < 0)
            return r;
    }
    region_settings_link(settings);
    return 0;
}

static int read_region(json_t *text, RegionSettings *settings, ErrorText *error)
{
    int r;

    region_settings_init(settings);
    settings->config.state_fd = read_fd(text, "state-fd");
    r = settings_json_read_region(text, settings, error);
    return r < 0 ? r : read_listeners(text, settings, error);
}

static int resume_region(Daemon *daemon, json_t *text, DaemonRegion **out, ErrorText *error)
{
    _cleanup_(region_settings_free) RegionSettings settings;
    int r = read_region(text, &settings, error);

    return r < 0 ? r : daemon_region_resume(daemon, &settings, out, error);
}

/* Whether the system lacks something that it may have a moment later. Any other error says that no
 * worker can ever go on. */
static bool is_passing(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS || r == -ENOSPC ||
           r == -EAGAIN;
}

static int resume_regions(Daemon *daemon, json_t *regions, ErrorText *error)
{
    DaemonRegion **end = &daemon->regions;
    json_t *region;
    size_t i;

    json_array_foreach(regions, i, region)
    {
        int r = resume_region(daemon, region, end, error);

        if (is_passing(r))
            return r;
        if (r < 0) {
            report_error("%s: its clients lose their connections", error->text);
            continue;
        }
        end = &(*end)->next;
        daemon->n_regions++;
    }
    return 0;
}

static int read_pidfile(Pidfile *pidfile, json_t *text, ErrorText *error)
{
    json_t *path;

    if (!text)
        return 0;
    if (json_unpack(text, "{s:o,s:i}", "path", &path, "fd", &pidfile->fd) < 0 ||
        !settings_json_read_bytes(path, pidfile->path, sizeof(pidfile->path)))
        return error_set(error, -EBADMSG, "the manifest is damaged: 'pidfile' is wrong");
    return 0;
}

static int resume_control(Daemon *daemon, json_t *text, ErrorText *error)
{
    ListenSocket socket = LISTEN_SOCKET_NONE;
    json_int_t device, inode;
    json_t *path;

    if (!text)
        return 0;
    if (json_unpack(text, "{s:o,s:i,s:i,s:I,s:I}", "path", &path, "fd", &socket.fd, "lock-fd",
                    &socket.lock_fd, "device", &device, "inode", &inode) < 0 ||
        !settings_json_read_bytes(path, socket.path, sizeof(socket.path)))
        return error_set(error, -EBADMSG, "the manifest is damaged: 'control' is wrong");
    socket.device = (dev_t)device;
    socket.inode = (ino_t)inode;
    return control_resume(&daemon->control, daemon, &socket, error);
}

static int resume_all(Daemon *daemon, json_t *text, ErrorText *error)
{
    int r = loop_init(&daemon->loop);

    if (r < 0)
        return error_set(error, r, "cannot poll: %s", strerror(-r));
    if ((r = read_pidfile(&daemon->pidfile, json_object_get(text, "pidfile"), error)) < 0 ||
        (r = resume_regions(daemon, json_object_get(text, "regions"), error)) < 0)
        return r;
    return resume_control(daemon, json_object_get(text, "control"), error);
}

int record_resume(Daemon *daemon, ErrorText *error)
{
    json_auto_t *text = manifest_load(daemon->manifest_fd, error);
    int r;

    if (!text)
        return -EBADMSG;
    daemon->started_at = json_integer_value(json_object_get(text, "since"));
    daemon->unfinished = json_incref(json_object_get(text, "unfinished"));
    daemon->n_reloads = (unsigned)json_integer_value(json_object_get(text, "reloads"));
    daemon->predecessor_fd = read_fd(text, "predecessor-fd");
    daemon->successor_fd = read_fd(text, "successor-fd");
    r = resume_all(daemon, text, error);
    if (r < 0)
        record_abandon(daemon); /* the next worker, too, has to find descriptors that are free */
    return r;
}

int record_read(Daemon *daemon, Config *config, ErrorText *error)
{
    json_auto_t *text = manifest_load(daemon->manifest_fd, error);
    json_t *regions = json_object_get(text, "regions");
    int r = text ? 0 : -EBADMSG;

    *config = (Config){0};
    config->regions = calloc(json_array_size(regions) + 1, sizeof(*config->regions));
    if (!config->regions)
        return error_set(error, -ENOMEM, "no memory for the regions");
    for (size_t i = 0; r == 0 && i < json_array_size(regions); i++)
        r = read_region(json_array_get(regions, i), &config->regions[config->n_regions++], error);
    return r < 0 ? r : read_pidfile(&daemon->pidfile, json_object_get(text, "pidfile"), error);
}

void record_abandon(Daemon *daemon)
{
    while (daemon->regions) {
        DaemonRegion *region = daemon->regions;

        daemon->regions = region->next;
        daemon_region_abandon(region);
    }
    daemon->n_regions = 0;
    json_decref(daemon->unfinished);
    daemon->unfinished = NULL;
    control_abandon(&daemon->control);
    loop_free(&daemon->loop);
}

typedef void EachFd(const IvshmemServer *server, void (*named)(void *opaque, int fd), void *opaque);

static void name_each(const Daemon *daemon, EachFd *of_server, void (*named)(void *opaque, int fd),
                      void *opaque)
{
    named(opaque, daemon->manifest_fd);
    named(opaque, daemon->control.socket.fd);
    named(opaque, daemon->control.socket.lock_fd);
    named(opaque, daemon->pidfile.fd);
    named(opaque, daemon->predecessor_fd);
    named(opaque, daemon->successor_fd);
    for (const DaemonRegion *region = daemon->regions; region; region = region->next) {
        named(opaque, region->state_fd);
        of_server(&region->server, named, opaque);
    }
}

void record_each_fd(const Daemon *daemon, void (*named)(void *opaque, int fd), void *opaque)
{
    name_each(daemon, ivshmem_server_each_fd, named, opaque);
}

void record_each_fd_left(const Daemon *daemon, void (*named)(void *opaque, int fd), void *opaque)
{
    name_each(daemon, ivshmem_server_each_fd_left, named, opaque);
}

void record_each_own_fd(const Daemon *daemon, void (*named)(void *opaque, int fd), void *opaque)
{
    named(opaque, daemon->loop.epoll_fd);
    named(opaque, daemon->control.reserve_fd);
    named(opaque, daemon->daemonize.ready_fd);
    named(opaque, daemon->daemonize.null_fd);
    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        ivshmem_server_each_own_fd(&region->server, named, opaque);
}
