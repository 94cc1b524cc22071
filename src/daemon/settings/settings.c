/* SPDX-License-Identifier: MIT */
#include "daemon/settings/settings.h"

#include <stdlib.h>
#include <string.h>

void listener_settings_init(ListenerSettings *settings)
{
    *settings = (ListenerSettings){0};
    ivshmem_server_listener_config_init(&settings->config);
}

void region_settings_init(RegionSettings *settings)
{
    *settings = (RegionSettings){0};
    ivshmem_server_config_init(&settings->config);
    settings->config.unix_sock_path = NULL;
}

void region_settings_free(RegionSettings *settings)
{
    free(settings->listeners);
    settings->listeners = NULL;
    settings->n_listeners = 0;
}

ListenerSettings *region_settings_add(RegionSettings *settings)
{
    ListenerSettings *more;

    if (settings->n_listeners == SETTINGS_MAX_SOCKETS)
        return NULL;
    more = reallocarray(settings->listeners, settings->n_listeners + 1, sizeof(*more));
    if (!more)
        return NULL;
    settings->listeners = more;
    more += settings->n_listeners++;
    listener_settings_init(more);
    return more;
}

void region_settings_move(RegionSettings *to, RegionSettings *from)
{
    *to = *from;
    from->listeners = NULL;
    from->n_listeners = 0;
    region_settings_link(to);
}

static const char *object_of(const RegionSettings *settings)
{
    return settings->memory_path + strspn(settings->memory_path, "/");
}

bool region_settings_share_memory(const RegionSettings *a, const RegionSettings *b)
{
    return a->config.memory == IVSHMEM_SERVER_MEMORY_POSIX &&
           b->config.memory == IVSHMEM_SERVER_MEMORY_POSIX &&
           strcmp(object_of(a), object_of(b)) == 0;
}

void listener_settings_link(ListenerSettings *settings)
{
    settings->config.name = settings->name;
    settings->config.unix_sock_path = settings->path;
}

void region_settings_link(RegionSettings *settings)
{
    settings->config.shm_path = settings->memory_path;
    for (unsigned i = 0; i < settings->n_listeners; i++)
        listener_settings_link(&settings->listeners[i]);
}

const char *listener_settings_title(const ListenerSettings *settings)
{
    return *settings->name ? settings->name : settings->path;
}

bool listener_settings_are_plain(const ListenerSettings *settings)
{
    const IvshmemServerListenerConfig *config = &settings->config;

    return !*settings->name && !*settings->libvirt_name && !config->n_vectors &&
           !config->max_clients && !config->read_only && !config->observers &&
           config->reserved_id < 0;
}
