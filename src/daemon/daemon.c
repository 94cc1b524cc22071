/* SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include "daemon/control/events.h"
#include "daemon/process/keeper.h"
#include "daemon/process/notify.h"
#include "daemon/process/report.h"
#include "daemon/process/watchdog.h"
#include "daemon/reload.h"
#include "daemon/resume/record.h"
#include "daemon/resume/succession.h"
#include "daemon/resume/unfinished.h"
#include "util/cleanup.h"
#include "util/signals.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>
#include <time.h>

#define LINGER_MS 20 /* from the end of the service to that of the process */

static void reload_and_report(Daemon *daemon)
{
    _cleanup_(reload_free) Reload reload = {0};
    ErrorText error;

    if (!daemon->config_path)
        return;
    if (reload_config(daemon, &reload, &error) < 0)
        report_error("%s", error.text);
    reload_report(&reload, LOG_INFO);
}

static void take_signals(void *owner, uint32_t events)
{
    Daemon *daemon = owner;
    struct signalfd_siginfo info;

    (void)events;
    if (read(daemon->signals.fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGHUP)
        reload_and_report(daemon);
    else
        loop_stop(&daemon->loop);
    daemon->is_terminated = info.ssi_signo == SIGTERM;
}

int daemon_init(Daemon *daemon, ErrorText *error)
{
    struct timespec now;

    *daemon = (Daemon){.daemonize = DAEMONIZE_NONE,
                       .loop = LOOP_NONE,
                       .control = CONTROL_NONE,
                       .manifest_fd = -1,
                       .pidfile = PIDFILE_NONE,
                       .predecessor_fd = -1,
                       .successor_fd = -1};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    daemon->started_at = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    (void)signal(SIGPIPE, SIG_IGN);
    daemon->signals =
        (LoopHandler){.fd = signals_open(SIGHUP), .ready = take_signals, .owner = daemon};
    if (daemon->signals.fd < 0)
        return error_set(error, daemon->signals.fd, "cannot wait for signals: %s",
                         strerror(-daemon->signals.fd));
    return 0;
}

/* To end a process with so many descriptors takes a processor some milliseconds, which newcomers
 * can do with when another one has just taken over. */
bool daemon_hand_over(Daemon *daemon, int sock)
{
    ErrorText error;
    int r = succession_hand_over(daemon, sock, &error);

    if (r == SUCCESSION_GOES_ON)
        return true;
    if (r < 0) {
        report_line(LOG_WARNING, NULL, error.text);
        return false;
    }
    report_line(LOG_NOTICE, NULL, "another process has taken over");
    (void)poll(NULL, 0, LINGER_MS);
    daemon->has_left = true;
    loop_stop(&daemon->loop);
    return false;
}

void daemon_close(Daemon *daemon)
{
    control_close(&daemon->control);
    loop_free(&daemon->loop);
    while (daemon->regions) {
        DaemonRegion *region = daemon->regions;

        daemon->regions = region->next;
        daemon_region_free(region);
    }
    daemon->n_regions = 0;
    daemon->signals.fd = fd_close(daemon->signals.fd);
    daemon->manifest_fd = fd_close(daemon->manifest_fd);
}

/* Its events stop and its clients go; it is freed when the batch of events is over. */
static void retire(Daemon *daemon, DaemonRegion *region)
{
    loop_retire(&daemon->loop, &region->handler);
    daemon_region_close(region);
}

static void tell_status(const Daemon *daemon)
{
    notify_tell("STATUS=Serving %u region%s", daemon->n_regions, daemon->n_regions == 1 ? "" : "s");
}

/* A POSIX object is one region's, whoever made that. */
static int check_memory(const Daemon *daemon, const RegionSettings *settings, ErrorText *error)
{
    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        if (region_settings_share_memory(&region->settings, settings))
            return error_set(error, -EEXIST, "shm-name %s is that of region %s",
                             settings->memory_path, region->settings.name);
    return 0;
}

int daemon_check_path(const Daemon *daemon, const char *path, ErrorText *error)
{
    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        for (int i = 0; i < region->n_listeners; i++)
            if (region->listeners[i] && strcmp(region->listeners[i]->settings.path, path) == 0)
                return error_set(error, -EADDRINUSE, "%s is the path of listener %s of region %s",
                                 path, region->listeners[i]->settings.name, region->settings.name);
    return 0;
}

static int check_paths(const Daemon *daemon, const RegionSettings *settings, ErrorText *error)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < settings->n_listeners; i++)
        r = daemon_check_path(daemon, settings->listeners[i].path, error);
    return r;
}

/* In a start nothing is written down yet, and whoever follows starts anew. */
static int open_region(Daemon *daemon, RegionSettings *settings, DaemonRegion **out,
                       ErrorText *error)
{
    int r = unfinished_coming(daemon, settings);

    if (r == 0)
        r = record_write(daemon);
    if (r < 0)
        (void)error_set(error, r, "cannot write down the region: %s", strerror(-r));
    else
        r = daemon_region_open(daemon, settings, out, error);
    unfinished_end(daemon);
    if (r < 0)
        (void)record_write(daemon);
    return r;
}

int daemon_add_region(Daemon *daemon, RegionSettings *settings, DaemonRegion **out,
                      ErrorText *error)
{
    DaemonRegion **end = &daemon->regions;
    int r = check_memory(daemon, settings, error);

    if (r < 0 || (r = check_paths(daemon, settings, error)) < 0 ||
        (r = open_region(daemon, settings, out, error)) < 0)
        return r;
    while (*end)
        end = &(*end)->next;
    *end = *out;
    daemon->n_regions++;
    r = record_write(daemon);
    if (r < 0) {
        *end = NULL;
        daemon->n_regions--;
        retire(daemon, *out);
        return error_set(error, r, "cannot write down the region: %s", strerror(-r));
    }
    keeper_call();
    events_region_added(*out);
    if (daemon->is_confined)
        tell_status(daemon);
    return 0;
}

void daemon_remove_region(Daemon *daemon, DaemonRegion *region)
{
    DaemonRegion **at = &daemon->regions;
    int r;

    while (*at != region)
        at = &(*at)->next;
    *at = region->next;
    daemon->n_regions--;
    r = unfinished_going(daemon, region);
    if (r < 0 || (r = record_write(daemon)) < 0) /* first: whoever goes on closes the rest */
        report_error("cannot write down that region %s has gone: %s", region->settings.name,
                     strerror(-r));
    retire(daemon, region);
    unfinished_end(daemon);
    (void)record_write(daemon);
    keeper_call();
    events_region_removed(region);
    tell_status(daemon);
}

DaemonRegion *daemon_find_region(const Daemon *daemon, const char *name)
{
    for (DaemonRegion *region = daemon->regions; region; region = region->next)
        if (strcmp(region->settings.name, name) == 0)
            return region;
    return NULL;
}

void daemon_tell_ready(const Daemon *daemon)
{
    notify_tell("READY=1");
    tell_status(daemon);
}

/* A signalfd in an epoll set tells of the signals of the process that put it there: not of those of
 * one that has forked since. */
int daemon_run(Daemon *daemon)
{
    Loop *loop = &daemon->loop;
    int r = loop_add(loop, &daemon->signals, EPOLLIN);

    if (r < 0 || (r = notify_attach(loop)) < 0 || (r = watchdog_attach(loop)) < 0)
        return r;
    daemon_tell_ready(daemon);
    r = loop_run(loop);
    notify_tell("STOPPING=1");
    return r < 0 ? r : daemon->status;
}
