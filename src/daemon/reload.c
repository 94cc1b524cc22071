/* SPDX-License-Identifier: MIT */
#include "daemon/reload.h"

#include "daemon/daemon.h"
#include "daemon/memory.h"
#include "daemon/notify.h"
#include "daemon/report.h"
#include "daemon/share.h"
#include "util/cleanup.h"
#include "util/deadline.h"

#include <inttypes.h>
#include <string.h>
#include <syslog.h>

typedef struct Work {
    Daemon *daemon;
    Reload *reload;
} Work;

#define done(work, ...) problems_add(&(work)->reload->done, __VA_ARGS__)
#define left(work, ...) problems_add(&(work)->reload->left, __VA_ARGS__)

static const RegionSettings *find_wanted(const Config *config, const char *name)
{
    for (unsigned i = 0; i < config->n_regions; i++)
        if (strcmp(config->regions[i].name, name) == 0)
            return &config->regions[i];
    return NULL;
}

static void remove_region(const Work *work, DaemonRegion *region)
{
    unsigned n = daemon_region_count_clients(region);

    if (n) {
        left(work, "region %s: it is not in the configuration, but has %u clients",
             region->settings.name, n);
        return;
    }
    done(work, "region %s: removed", region->settings.name);
    daemon_remove_region(work->daemon, region);
}

static void remove_regions(const Work *work, const Config *config)
{
    DaemonRegion *next;

    for (DaemonRegion *region = work->daemon->regions; region; region = next) {
        next = region->next;
        if (*region->settings.file && !find_wanted(config, region->settings.name))
            remove_region(work, region);
    }
}

/* @param said  set to its name, which goes with it */
static bool try_remove_listener(const Work *work, DaemonRegion *region, int index,
                                char said[static SETTINGS_NAME_SIZE])
{
    ErrorText error;

    strcpy(said, region->listeners[index]->settings.name);
    if (daemon_region_remove_listener(region, index, false, &error) < 0) {
        left(work, "region %s: listener %s: %s", region->settings.name, said, error.text);
        return false;
    }
    return true;
}

static bool try_add_listener(const Work *work, DaemonRegion *region,
                             const ListenerSettings *settings)
{
    ErrorText error;

    if (daemon_region_add_listener(region, settings, &error) >= 0)
        return true;
    left(work, "region %s: listener %s: %s", region->settings.name, settings->name, error.text);
    return false;
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

static bool is_reserved(const ListenerSettings *settings)
{
    return settings->config.reserved_id >= 0;
}

/* A listener that nobody uses is made anew. A reserved identity cannot be: whoever is connected has
 * it, and would see it leave for good. */
static void replace_listener(const Work *work, DaemonRegion *region, int index,
                             const ListenerSettings *wanted)
{
    ListenerSettings old = region->listeners[index]->settings;
    char name[SETTINGS_NAME_SIZE];

    if (is_reserved(&old) && daemon_region_count_clients(region)) {
        left(work, "region %s: listener %s: its identity is known to clients, and stays as it is",
             region->settings.name, old.name);
        return;
    }
    if (!try_remove_listener(work, region, index, name))
        return;
    if (try_add_listener(work, region, wanted)) {
        done(work, "region %s: listener %s: made anew", region->settings.name, wanted->name);
        return;
    }
    listener_settings_link(&old);
    (void)try_add_listener(work, region, &old);
}

static void change_listener(const Work *work, DaemonRegion *region, int index,
                            const ListenerSettings *wanted)
{
    ListenerSettings *has = &region->listeners[index]->settings;

    if (is_other_socket(has, wanted)) {
        replace_listener(work, region, index, wanted);
        return;
    }
    if (memcmp(&has->policy, &wanted->policy, sizeof(has->policy)) == 0)
        return;
    has->policy = wanted->policy;
    done(work, "region %s: listener %s: who may connect has changed", region->settings.name,
         has->name);
}

static const ListenerSettings *find_listener(const RegionSettings *wanted, const char *name)
{
    for (unsigned i = 0; i < wanted->n_listeners; i++)
        if (strcmp(wanted->listeners[i].name, name) == 0)
            return &wanted->listeners[i];
    return NULL;
}

static void remove_listeners(const Work *work, DaemonRegion *region, const RegionSettings *wanted)
{
    char name[SETTINGS_NAME_SIZE];

    for (int i = 0; i < region->n_listeners; i++) {
        const DaemonListener *listener = region->listeners[i];

        if (listener && listener->settings.is_configured &&
            !find_listener(wanted, listener->settings.name) &&
            try_remove_listener(work, region, i, name))
            done(work, "region %s: listener %s: removed", region->settings.name, name);
    }
}

static void change_listeners(const Work *work, DaemonRegion *region, const RegionSettings *wanted)
{
    for (unsigned i = 0; i < wanted->n_listeners; i++) {
        const ListenerSettings *settings = &wanted->listeners[i];
        int index = daemon_region_find_listener(region, settings->name);

        if (index >= 0)
            change_listener(work, region, index, settings);
        else if (try_add_listener(work, region, settings))
            done(work, "region %s: listener %s: made", region->settings.name, settings->name);
    }
}

/* What a region is cannot change while it is there. */
static void compare_region(const Work *work, const DaemonRegion *region,
                           const RegionSettings *wanted)
{
    const RegionSettings *has = &region->settings;
    const IvshmemServerConfig *a = &has->config, *b = &wanted->config;
    const struct {
        const char *key;
        bool differs;
    } keys[] = {
        {"size", a->shm_size != b->shm_size},
        {"vectors", a->n_vectors != b->n_vectors},
        {"the kind of memory", a->memory != b->memory || a->huge_page_size != b->huge_page_size ||
                                   strcmp(has->memory_path, wanted->memory_path) != 0},
        {"no-reserve", a->no_reserve != b->no_reserve},
        {"max-clients", (has->has_share ? 0 : a->max_clients) != b->max_clients},
        {"max-clients-per-user", a->max_clients_per_uid != b->max_clients_per_uid},
        {"setup-timeout", a->setup_timeout_ms != b->setup_timeout_ms},
        {"ids", a->n_ids != b->n_ids},
    };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].differs)
            left(work, "region %s: %s cannot change while the region is there", has->name,
                 keys[i].key);
}

static void add_region(const Work *work, RegionSettings *wanted)
{
    char name[SETTINGS_NAME_SIZE];
    DaemonRegion *region;
    ErrorText error;

    strcpy(name, wanted->name);
    if (share_one(work->daemon, wanted, &error) < 0 ||
        daemon_add_region(work->daemon, wanted, &region, &error) < 0)
        left(work, "region %s: %s", name, error.text);
    else
        done(work, "region %s: made", name);
}

/* A file says nothing of a region that a command has made. */
static bool is_of_command(const DaemonRegion *region, const RegionSettings *wanted)
{
    return !*region->settings.file && *wanted->file;
}

/* What goes does so first: its paths may be those of something new. */
static void remove_all(const Work *work, const Config *config)
{
    remove_regions(work, config);
    for (unsigned i = 0; i < config->n_regions; i++) {
        const RegionSettings *wanted = &config->regions[i];
        DaemonRegion *region = daemon_find_region(work->daemon, wanted->name);

        if (region && !is_of_command(region, wanted))
            remove_listeners(work, region, wanted);
    }
}

static void apply(const Work *work, Config *config)
{
    int r;

    remove_all(work, config);
    for (unsigned i = 0; i < config->n_regions; i++) {
        RegionSettings *wanted = &config->regions[i];
        DaemonRegion *region = daemon_find_region(work->daemon, wanted->name);

        if (!region) {
            add_region(work, wanted);
        } else if (is_of_command(region, wanted)) {
            left(work, "region %s: a command has made one of this name", wanted->name);
        } else {
            compare_region(work, region, wanted);
            change_listeners(work, region, wanted);
        }
    }
    r = daemon_remember(work->daemon);
    if (r < 0)
        left(work, "what has changed cannot be written down for a next process: %s", strerror(-r));
}

void reload_apply(Daemon *daemon, Config *config, Reload *reload)
{
    const Work work = {daemon, reload};

    apply(&work, config);
}

static int read_and_apply(Daemon *daemon, Reload *reload, ErrorText *error)
{
    _cleanup_(config_free) Config config = {0};

    config_read(&config, daemon->config_path, &daemon->context);
    if (config.problems.n)
        return error_set(error, -EINVAL,
                         "the configuration is wrong, and nothing has changed: %s%s",
                         config.problems.lines ? config.problems.lines[0] : "no memory",
                         config.problems.n > 1 ? " (and more: see --check-config)" : "");
    reload_apply(daemon, &config, reload);
    return 0;
}

int reload_config(Daemon *daemon, Reload *reload, ErrorText *error)
{
    int r;

    if (!daemon->config_path)
        return error_set(error, -EINVAL, "the server runs without a configuration");
    notify_tell("RELOADING=1\nMONOTONIC_USEC=%" PRId64, deadline_now() / 1000);
    r = read_and_apply(daemon, reload, error);
    daemon_tell_ready(daemon);
    return r;
}

static void report_lines(const Problems *lines, int priority)
{
    for (unsigned i = 0; i < problems_kept(lines); i++)
        report_line(priority, NULL, lines->lines[i] ? lines->lines[i] : "no memory");
}

void reload_report(const Reload *reload)
{
    report_lines(&reload->done, LOG_INFO);
    report_lines(&reload->left, LOG_WARNING);
}

void reload_free(Reload *reload)
{
    problems_free(&reload->done);
    problems_free(&reload->left);
}
