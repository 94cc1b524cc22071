/* SPDX-License-Identifier: MIT */
#include "daemon/settings/config.h"

#include "daemon/settings/config-file.h"
#include "daemon/settings/key.h"
#include "daemon/settings/libvirt.h"
#include "server/listen-socket.h"
#include "util/cleanup.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".conf"

#define PLACES_EACH     3
#define PLACE_PATH_SIZE 256 /* of a socket with more behind it, or of a link */

#define OBSERVER_ID 65535 /* as in the library: a region with observers has no such peer */

const char *config_place(const ListenerSettings *listener, const char *where,
                         char place[static CONFIG_PLACE_SIZE])
{
    int n = snprintf(place, CONFIG_PLACE_SIZE, "%s", where);

    if (listener->line)
        n += snprintf(place + n, CONFIG_PLACE_SIZE - (size_t)n, ":%u", listener->line);
    (void)snprintf(place + n, CONFIG_PLACE_SIZE - (size_t)n, ": listener %s", listener->name);
    return place;
}

static void finish_owner(ListenerSettings *listener, const ConfigContext *context)
{
    IvshmemServerListenerConfig *config = &listener->config;

    if (config->socket_gid != (gid_t)-1 && config->socket_mode < 0)
        config->socket_mode = 0660;
    /* What is removed later must be its user's. */
    if (config->socket_uid == (uid_t)-1)
        config->socket_uid = context->run_uid;
}

static void finish_path(ListenerSettings *listener, const char *where, Problems *problems)
{
    ErrorText why;

    if (*listener->path && *listener->libvirt_name) {
        problems_add(problems, "%s: only one of socket and libvirt-name is possible", where);
        *listener->libvirt_name = '\0';
    } else if (!*listener->path && !*listener->libvirt_name && !listener->has_wrong_path)
        problems_add(problems, "%s: socket or libvirt-name is missing", where);
    else if (*listener->libvirt_name && !libvirt_finish(listener, &why)) {
        if (why.error == -ENOENT)
            problems_add_here(problems, where, "%s", why.text);
        else
            problems_add(problems, "%s: %s", where, why.text);
    }
}

void config_finish_listener(ListenerSettings *listener, const RegionSettings *region,
                            const ConfigContext *context, const char *where, Problems *problems)
{
    const IvshmemServerListenerConfig *config = &listener->config;

    finish_path(listener, where, problems);
    finish_owner(listener, context);
    listener_settings_link(listener);
    if (config->n_vectors > region->config.n_vectors)
        problems_add(problems, "%s: vectors %u are more than the region's %u", where,
                     config->n_vectors, region->config.n_vectors);
    if (config->observers && config->reserved_id >= 0)
        problems_add(problems, "%s: only one of observers and reserved-id is possible", where);
    if (config->reserved_id >= (int64_t)region->config.n_ids)
        problems_add(problems, "%s: reserved-id %lld is not below the region's ids %u", where,
                     (long long)config->reserved_id, region->config.n_ids);
    if (config->reserved_id >= 0 && config->max_clients > 1)
        problems_add(problems, "%s: a socket with reserved-id has one client: max-clients %u",
                     where, config->max_clients);
}

static ListenerSettings *find_observers(RegionSettings *settings)
{
    for (unsigned i = 0; i < settings->n_listeners; i++)
        if (strcmp(settings->listeners[i].name, CONFIG_OBSERVERS) == 0)
            return &settings->listeners[i];
    return NULL;
}

/* Every region has a listener for observers, where programs find it unless it says otherwise. */
static void add_observers(RegionSettings *settings, const ConfigContext *context, const char *where,
                          Problems *problems)
{
    ListenerSettings *observers = find_observers(settings);
    int n;

    if (!observers)
        observers = region_settings_add(settings);
    if (!observers) {
        problems_add(problems, "%s: no room for the observers' listener", where);
        return;
    }
    if (!*observers->name) {
        strcpy(observers->name, CONFIG_OBSERVERS);
        observers->config.observers = true;
    }
    if (!observers->config.observers)
        problems_add(problems,
                     "%s:%u: listener " CONFIG_OBSERVERS
                     ": only observers = yes is possible for this name",
                     where, observers->line);
    if (*observers->path || *observers->libvirt_name || observers->has_wrong_path)
        return;
    n = snprintf(observers->path, sizeof(observers->path), "%s/%s." CONFIG_OBSERVERS,
                 context->run_folder, settings->name);
    if (n < 0 || (size_t)n >= sizeof(observers->path))
        problems_add(problems, "%s: the path of the observers' socket in %s is too long", where,
                     context->run_folder);
}

unsigned config_count_reserved(const RegionSettings *settings)
{
    unsigned n = 0;

    for (unsigned i = 0; i < settings->n_listeners; i++)
        n += settings->listeners[i].config.reserved_id >= 0;
    return n;
}

/* Whom a socket lets in to write may also write to the memory by its name. */
static gid_t group_of_writers(const RegionSettings *settings)
{
    for (unsigned i = 0; i < settings->n_listeners; i++)
        if (settings->listeners[i].config.socket_gid != (gid_t)-1 &&
            settings->listeners[i].config.socket_mode & S_IWGRP &&
            !settings->listeners[i].config.read_only)
            return settings->listeners[i].config.socket_gid;
    return (gid_t)-1;
}

void config_finish_region(RegionSettings *settings, const ConfigContext *context, const char *where,
                          Problems *problems)
{
    unsigned n_reserved;
    char place[CONFIG_PLACE_SIZE];

    settings->config.memory_uid = context->run_uid;
    if (!*settings->memory_path) {
        settings->config.memory = IVSHMEM_SERVER_MEMORY_MEMFD;
        strcpy(settings->memory_path, settings->name);
    }
    add_observers(settings, context, where, problems);
    for (unsigned i = 0; i < settings->n_listeners; i++) {
        ListenerSettings *listener = &settings->listeners[i];

        (void)config_place(listener, where, place);
        config_finish_listener(listener, settings, context, place, problems);
        if (listener->config.reserved_id == OBSERVER_ID && settings->config.n_ids > OBSERVER_ID)
            problems_add(problems, "%s: reserved-id %d is what observers are told as their own",
                         place, OBSERVER_ID);
        for (unsigned j = 0; j < i; j++)
            if (listener->config.reserved_id >= 0 &&
                listener->config.reserved_id == settings->listeners[j].config.reserved_id)
                problems_add(problems, "%s: reserved-id %lld is that of listener %s", place,
                             (long long)listener->config.reserved_id, settings->listeners[j].name);
    }
    settings->config.memory_gid = group_of_writers(settings);
    n_reserved = config_count_reserved(settings);
    if (settings->config.max_clients && n_reserved > settings->config.max_clients)
        problems_add(problems,
                     "%s: max-clients %u are fewer than the %u listeners with reserved-id", where,
                     settings->config.max_clients, n_reserved);
    region_settings_link(settings);
}

/* The region of a file is called as the file is. */
static bool name_region(RegionSettings *settings, const char *path, Problems *problems)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t length = strlen(base), suffix = strlen(SUFFIX);
    char name[PATH_MAX];
    ErrorText why;

    if (length >= suffix && strcmp(base + length - suffix, SUFFIX) == 0)
        length -= suffix;
    (void)snprintf(name, sizeof(name), "%.*s", (int)length, base);
    if (!key_is_name(name, &why)) {
        problems_add(problems, "%s: the region cannot be called so: %s", path, why.text);
        return false;
    }
    strcpy(settings->name, name);
    (void)snprintf(settings->file, sizeof(settings->file), "%s", path);
    return true;
}

static void read_region(Config *config, const char *path, const ConfigContext *context)
{
    RegionSettings *more = NULL, *settings;

    if (config->n_regions < CONFIG_MAX_REGIONS)
        more = reallocarray(config->regions, config->n_regions + 1, sizeof(*more));
    if (!more) {
        problems_add(&config->problems, "%s: no room for another region: %d are possible", path,
                     CONFIG_MAX_REGIONS);
        return;
    }
    config->regions = more;
    settings = &more[config->n_regions];
    region_settings_init(settings);
    if (!name_region(settings, path, &config->problems))
        return;
    config->n_regions++;
    config_file_read(path, settings, &config->problems);
    config_finish_region(settings, context, path, &config->problems);
    for (unsigned i = 0; i < settings->n_listeners; i++)
        settings->listeners[i].is_configured = true;
}

static int is_config(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name), suffix = strlen(SUFFIX);

    return entry->d_name[0] != '.' && length > suffix &&
           strcmp(entry->d_name + length - suffix, SUFFIX) == 0;
}

static void tell_unread(Config *config, const char *path)
{
    problems_add(&config->problems, "cannot read the configuration '%s': %s", path,
                 strerror(errno));
}

static void read_folder(Config *config, const char *path, const ConfigContext *context)
{
    struct dirent **entries;
    char file[PATH_MAX];
    int n = scandir(path, &entries, is_config, alphasort);

    if (n < 0) {
        tell_unread(config, path);
        return;
    }
    for (int i = 0; i < n; i++) {
        int length = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);

        if (length > 0 && (size_t)length < sizeof(file))
            read_region(config, file, context);
        free(entries[i]);
    }
    free(entries);
}

/* A path that a listener has, for sorting. */
typedef struct Place {
    char path[PLACE_PATH_SIZE];
    const char *what; /* is there beside the socket; NULL: the socket itself */
    const RegionSettings *region;
    const ListenerSettings *listener;
} Place;

static int compare_places(const void *a, const void *b)
{
    const Place *left = a, *right = b;
    int r = strcmp(left->path, right->path);

    if (r == 0)
        r = (left->what == NULL) - (right->what == NULL); /* the sockets last, */
    if (r == 0)
        r = (left->region > right->region) - (left->region < right->region); /* in their order */
    return r ? r : (left->listener > right->listener) - (left->listener < right->listener);
}

/* The paths of a listener: at most PLACES_EACH. */
static size_t add_places(Place *places, const RegionSettings *region,
                         const ListenerSettings *listener)
{
    const Place place = {.region = region, .listener = listener};

    if (!*listener->path)
        return 0;
    places[0] = places[1] = places[2] = place;
    places[1].what = "the lock file";
    places[2].what = "the link";
    (void)snprintf(places[0].path, sizeof(places->path), "%s", listener->path);
    (void)snprintf(places[1].path, sizeof(places->path), "%s" LISTEN_SOCKET_LOCK, listener->path);
    libvirt_link_path(listener, places[2].path, sizeof(places->path));
    return *places[2].path ? 3 : 2;
}

static void check_place(Config *config, const ConfigContext *context, const Place *places, size_t i)
{
    const Place *place = &places[i], *before = i ? &places[i - 1] : NULL;
    char where[CONFIG_PLACE_SIZE], lock[PATH_MAX + sizeof(LISTEN_SOCKET_LOCK)];

    (void)snprintf(lock, sizeof(lock), "%s" LISTEN_SOCKET_LOCK, context->control_path);
    (void)config_place(place->listener, place->region->file, where);
    if (strcmp(place->path, context->control_path) == 0)
        problems_add(&config->problems, "%s: %s is the control socket's path%s%s", where,
                     place->path, place->what ? ", and of " : "", place->what ? place->what : "");
    if (!place->what && strcmp(place->path, lock) == 0)
        problems_add(&config->problems, "%s: %s is the control socket's lock file", where,
                     place->path);
    if (place->what || !before || strcmp(before->path, place->path) != 0)
        return;
    problems_add(&config->problems, "%s: %s is %s of listener %s of region %s, too", where,
                 place->path, before->what ? before->what : "the path", before->listener->name,
                 before->region->name);
}

/* Every path is one listener's. */
static void check_paths(Config *config, const ConfigContext *context)
{
    _cleanup_free_ Place *places = NULL;
    size_t n = 0;

    for (unsigned i = 0; i < config->n_regions; i++)
        n += config->regions[i].n_listeners;
    places = calloc(PLACES_EACH * n + 1, sizeof(*places));
    if (!places) {
        problems_add(&config->problems, "out of memory");
        return;
    }
    n = 0;
    for (unsigned i = 0; i < config->n_regions; i++)
        for (unsigned j = 0; j < config->regions[i].n_listeners; j++)
            n += add_places(&places[n], &config->regions[i], &config->regions[i].listeners[j]);
    qsort(places, n, sizeof(*places), compare_places);
    for (size_t i = 0; i < n; i++)
        check_place(config, context, places, i);
}

/* A POSIX object is one region's. */
static void check_memories(Config *config)
{
    for (unsigned i = 0; i < config->n_regions; i++)
        for (unsigned j = 0; j < i; j++) {
            const RegionSettings *a = &config->regions[j], *b = &config->regions[i];

            if (region_settings_share_memory(a, b))
                problems_add(&config->problems, "%s: shm-name %s is that of region %s, too",
                             b->file, b->memory_path, a->name);
        }
}

void config_read(Config *config, const char *path, const ConfigContext *context)
{
    struct stat found;

    *config = (Config){0};
    if (stat(path, &found) < 0)
        tell_unread(config, path);
    else if (S_ISDIR(found.st_mode))
        read_folder(config, path, context);
    else
        read_region(config, path, context);
    for (unsigned i = 0; i < config->n_regions; i++)
        region_settings_link(&config->regions[i]); /* the last that was added moved all others */
    check_paths(config, context);
    check_memories(config);
}

void config_free(Config *config)
{
    for (unsigned i = 0; i < config->n_regions; i++)
        region_settings_free(&config->regions[i]);
    free(config->regions);
    problems_free(&config->problems);
    *config = (Config){0};
}
