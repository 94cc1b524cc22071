/* SPDX-License-Identifier: MIT */
#include "daemon/launch.h"

#include "daemon/settings/libvirt.h"
#include "util/folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool launch_can_change(const Options *options)
{
    return options->control || options->config;
}

ConfigContext launch_context(const Options *options, char folder[static PATH_MAX])
{
    const char *control = options->control ? options->control : OPTIONS_DEFAULT_CONTROL;

    return (ConfigContext){folder_of(control, folder), control, options->run_uid};
}

/* The command line's listener. False if its path does not fit. */
static bool describe_listener(RegionSettings *settings, const Options *options, Problems *problems)
{
    const IvshmemServerConfig *config = &options->server;
    ListenerSettings *listener = region_settings_add(settings);
    const char *path = config->unix_sock_path;

    if (!listener) {
        problems_add(problems, "out of memory");
        return false;
    }
    if (!*path || strlen(path) >= sizeof(listener->path)) {
        problems_add(problems, "the socket path '%.64s%s' has %zu bytes; 1 to %zu are possible",
                     path, strlen(path) > 64 ? "..." : "", strlen(path),
                     sizeof(listener->path) - 1);
        return false;
    }
    strcpy(listener->path, path);
    listener->config.socket_mode = config->socket_mode;
    listener->config.socket_uid = config->socket_uid;
    listener->config.socket_gid = config->socket_gid;
    listener->config.backlog = config->backlog;
    listener->config.max_accepts_per_s = config->max_accepts_per_s;
    listener->policy = options->policy;
    return true;
}

/* The command line's region. */
static void describe_region(Config *config, const Options *options)
{
    const IvshmemServerConfig *server = &options->server;
    RegionSettings *settings = config->regions = malloc(sizeof(*settings));

    if (!settings) {
        problems_add(&config->problems, "out of memory");
        return;
    }
    region_settings_init(settings);
    config->n_regions = 1;
    if (strlen(server->shm_path) >= sizeof(settings->memory_path)) {
        problems_add(&config->problems,
                     "the name of the shared memory has %zu bytes; 1 to %zu are possible",
                     strlen(server->shm_path), sizeof(settings->memory_path) - 1);
        return;
    }
    if (!describe_listener(settings, options, &config->problems))
        return;
    settings->config = *server;
    settings->config.unix_sock_path = NULL;
    strcpy(settings->name, SETTINGS_DEFAULT);
    strcpy(settings->memory_path, server->shm_path);
    region_settings_link(settings);
}

void launch_describe(Config *config, const Options *options, const ConfigContext *context)
{
    if (options->config) {
        config_read(config, options->config, context);
        return;
    }
    *config = (Config){0};
    describe_region(config, options);
}

/* @return whether there was no such right before */
static bool grant(bool *known, bool right)
{
    bool is_new = right && !*known;

    *known |= right;
    return is_new;
}

/* What else is full stays out of reach, which is an error when it is needed. */
static void add(LaunchPaths *all, const char *path, SandboxPath rights)
{
    if (all->n == LAUNCH_MAX_PATHS || strlen(path) >= PATH_MAX)
        return;
    for (unsigned i = 0; i < all->n; i++) {
        SandboxPath *known = &all->paths[i];

        if (strcmp(known->path, path) != 0)
            continue;
        all->is_more |= grant(&known->read, rights.read);
        all->is_more |= grant(&known->write, rights.write);
        all->is_more |= grant(&known->remove, rights.remove);
        all->is_more |= grant(&known->list, rights.list);
        all->is_more |= grant(&known->make, rights.make);
        return;
    }
    all->is_more = true;
    strcpy(all->text[all->n], path);
    rights.path = all->text[all->n];
    all->paths[all->n++] = rights;
}

static void add_group(LaunchPaths *all, gid_t group)
{
    if (group == (gid_t)-1 || all->n_groups == LAUNCH_MAX_GROUPS)
        return;
    for (unsigned i = 0; i < all->n_groups; i++)
        if (all->groups[i] == group)
            return;
    all->is_more = true;
    all->groups[all->n_groups++] = group;
}

/* Where sockets and their lock files are removed, and made if that can come. */
static void add_socket_folder(LaunchPaths *all, const char *folder, bool can_change)
{
    add(all, folder,
        (SandboxPath){.remove = true, .read = can_change, .write = can_change, .make = can_change});
}

static void add_region(LaunchPaths *all, const RegionSettings *settings, bool can_change)
{
    char folder[PATH_MAX];

    for (unsigned i = 0; i < settings->n_listeners; i++) {
        const ListenerSettings *listener = &settings->listeners[i];

        add_socket_folder(all, folder_of(listener->path, folder), can_change);
        if (*listener->libvirt_name)
            add_socket_folder(all, LIBVIRT_FOLDER, can_change);
        if (can_change)
            add_group(all, listener->config.socket_gid);
    }
    if (settings->config.memory == IVSHMEM_SERVER_MEMORY_DIRECTORY)
        add(all, settings->memory_path,
            (SandboxPath){.read = true, .write = true, .make = can_change});
}

LaunchPaths *launch_paths(const Config *config, const Options *options)
{
    bool can_change = launch_can_change(options);
    LaunchPaths *all = calloc(1, sizeof(*all));
    char folder[PATH_MAX];

    if (!all)
        return NULL;
    add(all, "/dev/shm",
        (SandboxPath){.read = true, .write = true, .remove = true, .make = can_change});
    add(all, "/dev/null", (SandboxPath){.read = true});
    add(all, "/proc", (SandboxPath){.read = true, .list = can_change || !options->no_keeper});
    add(all, folder_of(options->pidfile, folder), (SandboxPath){.remove = true});
    if (options->control) {
        add_socket_folder(all, folder_of(options->control, folder), can_change);
        add_group(all, options->control_gid);
    }
    if (can_change) {
        add(all, "/etc/passwd", (SandboxPath){.read = true});
        add(all, "/etc/group", (SandboxPath){.read = true});
    }
    if (options->config)
        add(all, options->config, (SandboxPath){.read = true, .list = true});
    for (unsigned i = 0; i < options->n_listen_folders; i++)
        add_socket_folder(all, options->listen_folders[i], true);
    (void)launch_add_paths(all, config, options);
    return all;
}

bool launch_add_paths(LaunchPaths *all, const Config *config, const Options *options)
{
    all->is_more = false;
    for (unsigned i = 0; i < config->n_regions; i++)
        add_region(all, &config->regions[i], launch_can_change(options));
    return all->is_more;
}
