/* SPDX-License-Identifier: MIT */
/*
 * ivshmem-server: a thin host of the library. What is here belongs to a process, in stages:
 *
 * - prepare: options, signals, the limit on descriptors. It should look names up; it must not make
 * or change anything that outlives the process.
 * - open: the pidfile, the memory, the socket. It should do whatever needs privileges; it must not
 * take a connection.
 * - drop (drop.h): privileges go.
 * - confine (sandbox.h): what a server does not need goes.
 * - serve, until a signal comes, in a worker that can be killed (keeper.h). It should need nothing
 *   that has gone.
 */
#include "daemon/attach.h"
#include "daemon/daemon.h"
#include "daemon/daemonize.h"
#include "daemon/drop.h"
#include "daemon/keeper.h"
#include "daemon/options.h"
#include "daemon/pidfile.h"
#include "daemon/recovery.h"
#include "daemon/report.h"
#include "daemon/sandbox.h"
#include "util/cleanup.h"
#include "util/limits.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* What a launcher forgot to close is not ours to hold. */
static void close_inherited(void)
{
    (void)close_range(STDERR_FILENO + 1, UINT_MAX, 0);
}

static int complain(const ErrorText *error, int r)
{
    report_error("%s", error->text);
    return r;
}

/* The command line's region. */
static int describe_region(RegionSettings *settings, const Options *options, ErrorText *error)
{
    const IvshmemServerConfig *config = &options->server;
    ListenerSettings *listener;

    region_settings_init(settings);
    listener = region_settings_add(settings);
    if (!listener)
        return error_set(error, -ENOMEM, "out of memory");
    if (strlen(config->shm_path) >= sizeof(settings->memory_path))
        return error_set(error, -ENAMETOOLONG,
                         "the name of the shared memory has %zu bytes; 1 to %zu are possible",
                         strlen(config->shm_path), sizeof(settings->memory_path) - 1);
    if (!*config->unix_sock_path || strlen(config->unix_sock_path) >= sizeof(listener->path))
        return error_set(error, -ENAMETOOLONG,
                         "the socket path '%.64s%s' has %zu bytes; 1 to %zu are possible",
                         config->unix_sock_path, strlen(config->unix_sock_path) > 64 ? "..." : "",
                         strlen(config->unix_sock_path), sizeof(listener->path) - 1);
    settings->config = *config;
    settings->config.unix_sock_path = NULL;
    strcpy(settings->name, SETTINGS_DEFAULT);
    strcpy(settings->memory_path, config->shm_path);
    strcpy(listener->path, config->unix_sock_path);
    listener->config.socket_mode = config->socket_mode;
    listener->config.socket_uid = config->socket_uid;
    listener->config.socket_gid = config->socket_gid;
    listener->config.backlog = config->backlog;
    listener->config.max_accepts_per_s = config->max_accepts_per_s;
    listener->policy = options->policy;
    region_settings_link(settings);
    return 0;
}

static int prepare(Daemon *daemon, const Options *options, RegionSettings *settings)
{
    ErrorText error;
    int r;

    report_init(options->server.verbose);
    limits_raise_fds();
    if ((r = daemon_init(daemon, &error)) < 0 ||
        (r = describe_region(settings, options, &error)) < 0)
        return complain(&error, r);
    daemon->keeps_state = !options->no_keeper;
    return 0;
}

static int open_control(Daemon *daemon, const Options *options, ErrorText *error)
{
    const ControlSpec spec = {options->control, options->control_gid, options->run_uid};

    return control_open(&daemon->control, daemon, &spec, error);
}

static int open_all(Daemon *daemon, const Options *options, RegionSettings *settings,
                    Pidfile *pidfile)
{
    DaemonRegion *region;
    ErrorText error;
    int r = options->foreground ? 0 : pidfile_open(pidfile, options->pidfile, options->run_uid);

    if (r < 0)
        return r;
    r = daemon_add_region(daemon, settings, &region, &error);
    if (r == 0 && options->control)
        r = open_control(daemon, options, &error);
    if (r < 0)
        return complain(&error, r);
    if (options->show_attach)
        attach_show(&region->server);
    return 0;
}

/* The folder of a path, in a buffer of the caller's. */
static const char *folder_of(const char *path, char folder[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    if (!slash)
        return ".";
    if (length == 0 || length >= PATH_MAX)
        return "/";
    memcpy(folder, path, length);
    folder[length] = '\0';
    return folder;
}

static int confine(const Daemon *daemon, const Options *options)
{
    const IvshmemServer *server = &daemon->regions->server;
    char socket_folder[PATH_MAX], pid_folder[PATH_MAX], control_folder[PATH_MAX];
    bool in_folder = options->server.memory == IVSHMEM_SERVER_MEMORY_DIRECTORY;
    const SandboxPath paths[] = {
        {folder_of(server->unix_sock_path, socket_folder), .remove = true},
        {options->control ? folder_of(options->control, control_folder) : "/dev/null",
         .remove = true},
        {folder_of(options->pidfile, pid_folder), .remove = true},
        {"/dev/shm", .read = true, .write = true, .remove = true},
        {in_folder ? server->shm_path : "/dev/shm", .read = true, .write = true},
        {"/dev/null", .read = true},
        {"/proc", .read = true, .list = true},
    };
    ErrorText error;
    int r = drop_privileges(options->run_uid, options->run_gid, &error);

    if (r == 0)
        r = sandbox_enter(options->sandbox, paths, sizeof(paths) / sizeof(paths[0]),
                          !options->no_keeper, &error);
    return r < 0 ? complain(&error, r) : 0;
}

typedef struct Worker {
    Daemon *daemon;
    const Options *options;
    Recovery recovery;
} Worker;

/* What a worker does from its start to its end; a process without a keeper is its own worker. */
static int work(void *context, KeeperTask task)
{
    Worker *worker = context;
    Daemon *daemon = worker->daemon;
    ErrorText error;
    int r = 0;

    if (!worker->options->no_keeper)
        r = sandbox_tighten(worker->options->sandbox, &error);
    if (r == 0 && task != KEEPER_SERVE)
        r = recovery_go_on(&worker->recovery, daemon, &error);
    if (r < 0)
        (void)complain(&error, r);
    else if (task != KEEPER_END)
        r = daemon_run(daemon);
    daemon_close(daemon);
    if (r == 0)
        (void)puts("server disconnected");
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Serves to the end. @return the exit status */
static int serve(Daemon *daemon, const Options *options)
{
    Worker worker = {.daemon = daemon, .options = options};
    ErrorText error;
    int r;

    if (options->no_keeper)
        return work(&worker, KEEPER_SERVE);
    r = recovery_prepare(&worker.recovery, daemon, &error);
    if (r < 0)
        (void)complain(&error, r);
    else if ((r = keeper_run(work, &worker)) < 0)
        report_error("cannot start a worker: %s", strerror(-r));
    if (r < 0)
        daemon_close(daemon);
    recovery_free(&worker.recovery);
    return r < 0 ? EXIT_FAILURE : r;
}

/* From "open" to the end. @return the exit status */
static int run(Daemon *daemon, const Options *options, RegionSettings *settings)
{
    _cleanup_(pidfile_close) Pidfile pidfile = PIDFILE_NONE;
    _cleanup_(daemonize_abandon) Daemonize daemonize = DAEMONIZE_NONE;
    int r;

    if (!options->foreground && (r = daemonize_begin(&daemonize)) < 0) {
        report_error("cannot become a daemon: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    r = open_all(daemon, options, settings, &pidfile);
    if (r == 0)
        r = confine(daemon, options);
    if (r < 0) {
        daemon_close(daemon);
        return EXIT_FAILURE;
    }
    daemonize_done(&daemonize);
    return serve(daemon, options);
}

int main(int argc, char **argv)
{
    static char out[BUFSIZ]; /* a line buffer from the start: nobody asks what stdout is */
    static Options options;
    _cleanup_(region_settings_free) RegionSettings settings = {0};
    Daemon daemon;

    (void)setvbuf(stdout, out, _IOLBF, sizeof(out));
    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_DONE:
        return EXIT_SUCCESS;
    case OPTIONS_WRONG:
        return EXIT_FAILURE;
    case OPTIONS_RUN:
        break;
    }
    close_inherited();
    if (prepare(&daemon, &options, &settings) < 0)
        return EXIT_FAILURE;
    return run(&daemon, &options, &settings);
}
