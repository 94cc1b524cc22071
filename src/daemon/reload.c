/* SPDX-License-Identifier: MIT */
#include "daemon/reload.h"

#include "daemon/daemon.h"
#include "daemon/process/notify.h"
#include "daemon/process/report.h"
#include "daemon/reload-listeners.h"
#include "daemon/resume/record.h"
#include "daemon/share.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/plural.h"

#include <inttypes.h>
#include <string.h>
#include <syslog.h>

typedef struct Work {
    Daemon *daemon;
    Reload *reload;
} Work;

#define done(work, ...) reload_done((work)->reload, __VA_ARGS__)
#define left(work, ...) reload_left((work)->reload, __VA_ARGS__)

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
        left(work, "region %s: it is not in the configuration, but has %u client%s",
             region->settings.name, n, plural(n));
        return;
    }
    done(work, "region %s: removed", region->settings.name);
    daemon_remove_region(work->daemon, region);
}

/* Whoever has no configuration knows nothing of regions that come from a file. */
static void remove_regions(const Work *work, const Config *config)
{
    DaemonRegion *next;

    if (!work->daemon->config_path)
        return;
    for (DaemonRegion *region = work->daemon->regions; region; region = next) {
        next = region->next;
        if (*region->settings.file && !find_wanted(config, region->settings.name))
            remove_region(work, region);
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

/* Written down first: whoever goes on after a killed worker does it again. */
static int begin(const Work *work)
{
    Daemon *daemon = work->daemon;
    int r;

    daemon->n_reloads++;
    r = record_write(daemon);
    if (r < 0) {
        daemon->n_reloads--;
        left(work, "nothing has changed: it cannot be written down that a reload is under way: %s",
             strerror(-r));
    }
    return r;
}

static void end(const Work *work)
{
    int r;

    work->daemon->n_reloads = 0;
    r = record_write(work->daemon);
    if (r < 0)
        left(work, "what has changed cannot be written down for a next process: %s", strerror(-r));
}

static void apply(const Work *work, Config *config)
{
    remove_regions(work, config); /* first: their paths may be those of something new */
    for (unsigned i = 0; i < config->n_regions; i++) {
        const DaemonRegion *region = reload_find_region(work->daemon, &config->regions[i]);

        if (region)
            compare_region(work, region, &config->regions[i]);
    }
    reload_listeners(work->daemon, config, work->reload);
    for (unsigned i = 0; i < config->n_regions; i++) {
        RegionSettings *wanted = &config->regions[i];

        if (!daemon_find_region(work->daemon, wanted->name))
            add_region(work, wanted);
        else if (!reload_find_region(work->daemon, wanted))
            left(work, "region %s: a command has made one of this name", wanted->name);
    }
}

void reload_apply(Daemon *daemon, Config *config, Reload *reload)
{
    const Work work = {daemon, reload};

    if (begin(&work) < 0)
        return;
    apply(&work, config);
    end(&work);
}

void reload_give_up(Daemon *daemon)
{
    daemon->n_reloads = 0;
    (void)record_write(daemon); /* if it fails, the next worker gives it up again */
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

void reload_report(const Reload *reload, int done)
{
    report_lines(&reload->done, done);
    report_lines(&reload->left, LOG_WARNING);
}

void reload_free(Reload *reload)
{
    problems_free(&reload->done);
    problems_free(&reload->left);
}
