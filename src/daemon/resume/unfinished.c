/* SPDX-License-Identifier: MIT */
#include "daemon/resume/unfinished.h"

#include "daemon/resume/record.h"
#include "daemon/settings/libvirt.h"
#include "daemon/settings/settings-json.h"
#include "server/core.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <sys/mman.h>

static int begin(Daemon *daemon)
{
    unfinished_end(daemon);
    daemon->unfinished = json_pack("{s:[]}", "listeners");
    return daemon->unfinished ? 0 : -ENOMEM;
}

static int add_listener(Daemon *daemon, const ListenerSettings *settings)
{
    json_t *listeners = json_object_get(daemon->unfinished, "listeners");

    return json_array_append_new(listeners, settings_json_of_listener(settings)) < 0 ? -ENOMEM : 0;
}

static int add_memory(Daemon *daemon, const char *name)
{
    return json_object_set_new(daemon->unfinished, "memory", settings_json_of_bytes(name)) < 0
               ? -ENOMEM
               : 0;
}

/* seccomp-change: openat open */
static bool is_absent(const char *name)
{
    _cleanup_close_ int fd = shm_open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);

    return fd < 0 && errno == ENOENT;
}

int unfinished_coming(Daemon *daemon, const RegionSettings *settings)
{
    int r = begin(daemon);

    if (r == 0 && settings->config.memory == IVSHMEM_SERVER_MEMORY_POSIX &&
        is_absent(settings->memory_path))
        r = add_memory(daemon, settings->memory_path);
    for (unsigned i = 0; r == 0 && i < settings->n_listeners; i++)
        r = add_listener(daemon, &settings->listeners[i]);
    return r;
}

int unfinished_going(Daemon *daemon, const DaemonRegion *region)
{
    const Region *memory = &region->server.core_->region;
    int r = begin(daemon);

    if (r == 0 && memory->made)
        r = add_memory(daemon, memory->name);
    for (int i = 0; r == 0 && i < region->n_listeners; i++)
        if (region->listeners[i])
            r = add_listener(daemon, &region->listeners[i]->settings);
    return r;
}

int unfinished_listener(Daemon *daemon, const ListenerSettings *settings)
{
    int r = begin(daemon);

    return r < 0 ? r : add_listener(daemon, settings);
}

void unfinished_end(Daemon *daemon)
{
    json_decref(daemon->unfinished);
    daemon->unfinished = NULL;
}

/* A dead worker's descriptor is still open, so its inode is nobody else's. */
void unfinished_close(const Daemon *daemon, int fd)
{
    Region memory = {.kind = REGION_POSIX, .fd = fd};
    const json_t *name = json_object_get(daemon->unfinished, "memory");

    memory.made = name && settings_json_read_bytes(name, memory.name, sizeof(memory.name));
    region_close(&memory);
}

/* One that is served again has its lock. */
static void clear_listener(json_t *text)
{
    ListenerSettings settings;
    ErrorText error;

    listener_settings_init(&settings);
    if (settings_json_read_listener(text, &settings, &error) < 0)
        return;
    if (listen_socket_clear(
            &(ListenSpec){.path = settings.path, .uid = settings.config.socket_uid, .fd = -1},
            &error) == 0)
        libvirt_unlink(&settings);
}

void unfinished_clear(Daemon *daemon)
{
    json_t *listeners = json_object_get(daemon->unfinished, "listeners"), *listener;
    size_t i;

    if (!daemon->unfinished)
        return;
    json_array_foreach(listeners, i, listener)
    {
        clear_listener(listener);
    }
    unfinished_end(daemon);
    (void)record_write(daemon);
}
