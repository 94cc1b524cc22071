/* SPDX-License-Identifier: MIT */
#include "daemon/reload-listeners.h"

#include "util/cleanup.h"
#include "util/plural.h"

#include <string.h>

typedef enum ChangeState {
    CHANGE_WAITS,
    CHANGE_MADE, /* the new one is there */
    CHANGE_LEFT, /* it is as it was before */
} ChangeState;

/* A listener that is new, or is to be made anew. */
typedef struct Change {
    DaemonRegion *region;
    const ListenerSettings *wanted;
    ListenerSettings old; /* what it was, */
    bool has_old;         /* if it was there */
    int index;            /* of the one that is there, old or new; -1: none */
    ChangeState state;
    bool is_undone; /* it is being made again as it was */
} Change;

typedef struct Plan {
    Daemon *daemon;
    Reload *reload;
    Change *changes;
    unsigned n;
} Plan;

#define CHANGE_FOREACH(change, plan)                                                               \
    for ((change) = (plan)->changes; (change) < (plan)->changes + (plan)->n; (change)++)

DaemonRegion *reload_find_region(const Daemon *daemon, const RegionSettings *wanted)
{
    DaemonRegion *region = daemon_find_region(daemon, wanted->name);

    return region && !*region->settings.file && *wanted->file ? NULL : region;
}

static const ListenerSettings *find_wanted(const RegionSettings *wanted, const char *name)
{
    for (unsigned i = 0; i < wanted->n_listeners; i++)
        if (strcmp(wanted->listeners[i].name, name) == 0)
            return &wanted->listeners[i];
    return NULL;
}

static void remove_unwanted(const Plan *plan, DaemonRegion *region, const RegionSettings *wanted)
{
    char title[PATH_MAX];
    ErrorText error;

    for (int i = 0; i < region->n_listeners; i++) {
        const DaemonListener *listener = region->listeners[i];

        if (!listener || !listener->settings.is_configured ||
            find_wanted(wanted, listener->settings.name))
            continue;
        strcpy(title, listener_settings_title(&listener->settings)); /* which goes with it */
        if (daemon_region_remove_listener(region, i, false, &error) < 0)
            reload_left(plan->reload, "region %s: listener %s: %s", region->settings.name, title,
                        error.text);
        else
            reload_done(plan->reload, "region %s: listener %s: removed", region->settings.name,
                        title);
    }
}

/* Whether the library would have to know of the difference. */
static bool is_other_socket(const ListenerSettings *a, const ListenerSettings *b)
{
    const IvshmemServerListenerConfig *x = &a->config, *y = &b->config;

    return strcmp(a->path, b->path) != 0 || x->socket_mode != y->socket_mode ||
           x->socket_uid != y->socket_uid || x->socket_gid != y->socket_gid ||
           x->backlog != y->backlog || x->n_vectors != y->n_vectors ||
           x->max_clients != y->max_clients || x->max_accepts_per_s != y->max_accepts_per_s ||
           x->read_only != y->read_only || x->observers != y->observers ||
           x->reserved_id != y->reserved_id;
}

static void change_policy(const Plan *plan, const DaemonRegion *region, ListenerSettings *has,
                          const ListenerSettings *wanted)
{
    if (memcmp(&has->policy, &wanted->policy, sizeof(has->policy)) == 0)
        return;
    has->policy = wanted->policy;
    reload_done(plan->reload, "region %s: listener %s: who may connect has changed",
                region->settings.name, listener_settings_title(has));
}

static void leave(const Plan *plan, Change *change, const char *why)
{
    change->state = CHANGE_LEFT;
    if (change->index >= 0)
        change->region->listeners[change->index]->is_going = false;
    reload_left(plan->reload, "region %s: listener %s: %s", change->region->settings.name,
                listener_settings_title(change->wanted), why);
}

/* A listener that nobody uses is made anew. A reserved identity cannot be: whoever is connected has
 * it, and would see it leave for good. */
static void leave_if_used(const Plan *plan, Change *change)
{
    IvshmemServerListenerInfo info;
    ErrorText why;

    if (change->old.config.reserved_id >= 0 && daemon_region_count_clients(change->region)) {
        leave(plan, change, "its identity is known to clients, and stays as it is");
        return;
    }
    if (ivshmem_server_listener_info(&change->region->server, change->index, &info) < 0 ||
        !info.n_clients)
        return;
    (void)error_set(&why, 0, "%s has %u client%s", change->old.path, info.n_clients,
                    plural(info.n_clients));
    leave(plan, change, why.text);
}

static void plan_listener(Plan *plan, DaemonRegion *region, const ListenerSettings *wanted)
{
    int index = daemon_region_find_listener(region, wanted->name);
    DaemonListener *has = index < 0 ? NULL : region->listeners[index];
    Change *change = &plan->changes[plan->n];

    if (has && !is_other_socket(&has->settings, wanted)) {
        change_policy(plan, region, &has->settings, wanted);
        return;
    }
    *change = (Change){.region = region, .wanted = wanted, .has_old = has, .index = index};
    plan->n++;
    if (!has)
        return;
    change->old = has->settings;
    listener_settings_link(&change->old);
    has->is_going = true;
    leave_if_used(plan, change);
}

/* Whether two settings of listeners cannot be there at once. */
static bool are_in_conflict(const DaemonRegion *a_region, const ListenerSettings *a,
                            const DaemonRegion *b_region, const ListenerSettings *b)
{
    return strcmp(a->path, b->path) == 0 || (a_region == b_region && a->config.reserved_id >= 0 &&
                                             a->config.reserved_id == b->config.reserved_id);
}

/* Whether a listener of a region stays and has what a change needs. */
static bool is_held_in(const DaemonRegion *region, const Change *change, ErrorText *why)
{
    for (int i = 0; i < region->n_listeners; i++) {
        const DaemonListener *has = region->listeners[i];

        if (!has || has->is_going ||
            !are_in_conflict(region, &has->settings, change->region, change->wanted))
            continue;
        if (strcmp(has->settings.path, change->wanted->path) == 0)
            (void)error_set(why, 0, "%s is the path of listener %s of region %s, which stays",
                            has->settings.path, has->settings.name, region->settings.name);
        else
            (void)error_set(why, 0, "reserved-id %lld is that of listener %s, which stays",
                            (long long)has->settings.config.reserved_id, has->settings.name);
        return true;
    }
    return false;
}

static bool is_held(const Plan *plan, const Change *change, ErrorText *why)
{
    for (const DaemonRegion *region = plan->daemon->regions; region; region = region->next)
        if (is_held_in(region, change, why))
            return true;
    return false;
}

/* Leaves what cannot be made anyway, and what then cannot either. */
static void leave_held(const Plan *plan)
{
    Change *change;
    bool again = true;
    ErrorText why;

    while (again) {
        again = false;
        CHANGE_FOREACH(change, plan)
            if (change->state == CHANGE_WAITS && is_held(plan, change, &why)) {
                leave(plan, change, why.text);
                again |= change->has_old;
            }
    }
}

static void remove_old(const Plan *plan)
{
    Change *change;
    ErrorText error;

    CHANGE_FOREACH(change, plan) {
        if (change->state != CHANGE_WAITS || change->index < 0)
            continue;
        if (daemon_region_remove_listener(change->region, change->index, false, &error) < 0)
            leave(plan, change, error.text);
        else
            change->index = -1;
    }
}

/* Whether what was made for a change has the place of something that is made again. */
static bool is_in_the_way(const Plan *plan, const Change *made)
{
    const Change *change;

    CHANGE_FOREACH(change, plan)
        if (change->is_undone && change->has_old &&
            are_in_conflict(made->region, made->wanted, change->region, &change->old))
            return true;
    return false;
}

static void mark_in_the_way(const Plan *plan)
{
    Change *change;
    bool again = true;

    while (again) {
        again = false;
        CHANGE_FOREACH(change, plan)
            if (change->state == CHANGE_MADE && !change->is_undone && is_in_the_way(plan, change))
                change->is_undone = again = true;
    }
}

/* Makes the listener again as it was, and says so in a line. */
static void make_again(const Plan *plan, Change *change, const char *why)
{
    ErrorText line, error;

    if (!change->has_old) {
        leave(plan, change, why);
        return;
    }
    change->index = daemon_region_add_listener(change->region, &change->old, &error);
    if (change->index < 0)
        (void)error_set(&line, 0, "%.512s; and it cannot be made again as it was: %.512s", why,
                        error.text);
    else
        (void)error_set(&line, 0, "%.1024s; it stays as it was", why);
    leave(plan, change, line.text);
}

/* A change that has failed is undone, together with all that are in the way of that. */
static void undo(const Plan *plan, Change *failed, const char *why)
{
    Change *change;
    ErrorText error;

    failed->is_undone = true;
    mark_in_the_way(plan);
    CHANGE_FOREACH(change, plan) {
        if (change->is_undone && change->index >= 0)
            (void)daemon_region_remove_listener(change->region, change->index, true, &error);
        if (change->is_undone)
            change->index = -1;
    }
    make_again(plan, failed, why);
    (void)error_set(&error, 0, "listener %s of region %s cannot be made", failed->wanted->name,
                    failed->region->settings.name);
    CHANGE_FOREACH(change, plan) {
        if (change->is_undone && change != failed)
            make_again(plan, change, error.text);
        change->is_undone = false;
    }
}

static void make_new(const Plan *plan)
{
    Change *change;
    ErrorText error;

    CHANGE_FOREACH(change, plan) {
        if (change->state != CHANGE_WAITS)
            continue;
        if (!is_held(plan, change, &error))
            change->index = daemon_region_add_listener(change->region, change->wanted, &error);
        if (change->index < 0)
            undo(plan, change, error.text);
        else
            change->state = CHANGE_MADE;
    }
}

static void tell_made(const Plan *plan)
{
    const Change *change;

    CHANGE_FOREACH(change, plan)
        if (change->state == CHANGE_MADE)
            reload_done(plan->reload, "region %s: listener %s: %s", change->region->settings.name,
                        listener_settings_title(change->wanted),
                        change->has_old ? "made anew" : "made");
}

static unsigned count_wanted(const Config *config)
{
    unsigned n = 0;

    for (unsigned i = 0; i < config->n_regions; i++)
        n += config->regions[i].n_listeners;
    return n;
}

void reload_listeners(Daemon *daemon, const Config *config, Reload *reload)
{
    _cleanup_free_ Change *changes = calloc(count_wanted(config) + 1, sizeof(*changes));
    Plan plan = {daemon, reload, changes, 0};

    if (!changes) {
        reload_left(reload, "no memory for the listeners, which stay as they are");
        return;
    }
    for (unsigned i = 0; i < config->n_regions; i++) {
        const RegionSettings *wanted = &config->regions[i];
        DaemonRegion *region = reload_find_region(daemon, wanted);

        if (region)
            remove_unwanted(&plan, region, wanted);
        for (unsigned j = 0; region && j < wanted->n_listeners; j++)
            plan_listener(&plan, region, &wanted->listeners[j]);
    }
    leave_held(&plan);
    remove_old(&plan);
    make_new(&plan);
    tell_made(&plan);
}
