/* SPDX-License-Identifier: MIT */
/* Commands that make and remove regions and listeners. */
#include "daemon/control/command.h"
#include "daemon/control/find.h"
#include "daemon/control/keys.h"
#include "daemon/reload.h"
#include "daemon/share.h"
#include "util/cleanup.h"
#include "util/plural.h"

#include <string.h>

/* The first of what is wrong. */
static int first_of(Problems *problems, ErrorText *error)
{
    bool is_wrong = problems->n;

    if (is_wrong)
        (void)error_set(error, -EINVAL, "%s", problems->lines ? problems->lines[0] : "no memory");
    problems_free(problems);
    return is_wrong ? -EINVAL : 0;
}

static int describe_region(const Daemon *daemon, RegionSettings *settings, json_t *arguments,
                           ErrorText *error)
{
    const char *name = json_string_value(json_object_get(arguments, "region"));
    Problems problems = {0};
    ErrorText why;
    int r;

    if (!key_is_name(name, &why))
        return error_set(error, -EINVAL, "argument 'region' '%.64s': %.128s", name, why.text);
    if (daemon_find_region(daemon, name))
        return error_set(error, -EEXIST, "there is a region '%s' already", name);
    strcpy(settings->name, name);
    r = keys_store_all(&region_keys, settings, arguments, error);
    if (r < 0)
        return r;
    config_finish_region(settings, &daemon->context, "region-add", &problems);
    return first_of(&problems, error);
}

int run_region_add(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    _cleanup_(region_settings_free) RegionSettings settings;
    DaemonRegion *region;
    int r;

    (void)result;
    region_settings_init(&settings);
    if ((r = describe_region(daemon, &settings, arguments, error)) < 0 ||
        (r = share_one(daemon, &settings, error)) < 0)
        return r;
    return daemon_add_region(daemon, &settings, &region, error);
}

static bool is_forced(const json_t *arguments)
{
    return json_is_true(json_object_get(arguments, "force"));
}

int run_region_remove(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    DaemonRegion *region;
    unsigned n;
    int r = find_region(daemon, arguments, &region, error);

    (void)result;
    if (r < 0)
        return r;
    n = daemon_region_count_clients(region);
    if (n && !is_forced(arguments))
        return error_set(error, -EBUSY, "region %s has %u client%s; 'force' disconnects %s",
                         region->settings.name, n, plural(n), n == 1 ? "it" : "them");
    daemon_remove_region(daemon, region);
    return 0;
}

int run_listener_add(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    const char *name = json_string_value(json_object_get(arguments, "name"));
    ListenerSettings settings;
    Problems problems = {0};
    DaemonRegion *region;
    ErrorText why;
    int r = find_region(daemon, arguments, &region, error);

    (void)result;
    if (r < 0)
        return r;
    if (!key_is_name(name, &why))
        return error_set(error, -EINVAL, "argument 'name' '%.64s': %.128s", name, why.text);
    if (daemon_region_find_listener(region, name) >= 0)
        return error_set(error, -EEXIST, "region %s has a listener '%s' already",
                         region->settings.name, name);
    listener_settings_init(&settings);
    strcpy(settings.name, name);
    r = keys_store_all(&listener_keys, &settings, arguments, error);
    if (r < 0)
        return r;
    config_finish_listener(&settings, &region->settings, &daemon->context, "listener-add",
                           &problems);
    if ((r = first_of(&problems, error)) < 0 ||
        (r = daemon_check_path(daemon, settings.path, error)) < 0)
        return r;
    r = daemon_region_add_listener(region, &settings, error);
    return r < 0 ? r : 0;
}

int run_listener_remove(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    const char *name = json_string_value(json_object_get(arguments, "name"));
    IvshmemServerListenerInfo info;
    DaemonRegion *region;
    int index, r = find_region(daemon, arguments, &region, error);

    (void)result;
    if (r < 0)
        return r;
    index = daemon_region_find_listener(region, name);
    if (index < 0)
        return error_set(error, -ENOENT, "region %s has no listener '%.64s'", region->settings.name,
                         name);
    if (!is_forced(arguments) && ivshmem_server_listener_info(&region->server, index, &info) == 0 &&
        info.n_clients)
        return error_set(error, -EBUSY,
                         "listener %s of region %s has %u client%s; 'force' disconnects %s", name,
                         region->settings.name, info.n_clients, plural(info.n_clients),
                         info.n_clients == 1 ? "it" : "them");
    return daemon_region_remove_listener(region, index, is_forced(arguments), error);
}

static json_t *list(const Problems *lines)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < problems_kept(lines); i++)
        (void)json_array_append_new(array, json_string(lines->lines[i]));
    return array;
}

int run_reload(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    _cleanup_(reload_free) Reload reload = {0};
    int r = reload_config(daemon, &reload, error);

    (void)arguments;
    if (r < 0)
        return r;
    *result = json_pack("{s:o,s:o}", "done", list(&reload.done), "left", list(&reload.left));
    return 0;
}
