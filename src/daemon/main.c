/* SPDX-License-Identifier: MIT */
/*
 * ivshmem-server: a thin host of the library. What is here belongs to a process, in stages:
 *
 * - prepare: options, configuration, signals, the limit on descriptors. It should look names up; it
 *   must not make or change anything that outlives the process.
 * - open: the pidfile, the memories, the sockets. It should do whatever needs privileges; it must
 *   not take a connection.
 * - drop (drop.h): privileges go.
 * - confine (sandbox.h): what a server does not need goes.
 * - inherit (succession.h): what a running server still serves. It should be short, for nobody is
 *   served meanwhile.
 * - serve (worker.h), until a signal comes, in a worker that can be killed. It should need nothing
 *   that has gone.
 */
#include "daemon/attach.h"
#include "daemon/check.h"
#include "daemon/daemon.h"
#include "daemon/launch.h"
#include "daemon/process/daemonize.h"
#include "daemon/process/drop.h"
#include "daemon/process/notify.h"
#include "daemon/process/report.h"
#include "daemon/process/watchdog.h"
#include "daemon/resume/manifest.h"
#include "daemon/resume/record.h"
#include "daemon/resume/store.h"
#include "daemon/resume/succession.h"
#include "daemon/settings/names.h"
#include "daemon/share.h"
#include "daemon/worker.h"
#include "util/cleanup.h"
#include "util/cli.h"
#include "util/limits.h"
#include "util/standard.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_HERE 2 /* of --check-config: this machine lacks what the configuration needs */

/* From "open" to the end. */
typedef struct Stages {
    Daemon *daemon;
    const Options *options;
    LaunchPaths *paths;
    Succession succession;
    Worker worker;
} Stages;

/* What a launcher forgot to close is not ours to hold; what a service manager passes is. */
static int close_inherited(Passed *passed, ErrorText *error)
{
    unsigned n;
    int r = passed_take(passed, &n, error);

    (void)close_range(STDERR_FILENO + 1 + n, UINT_MAX, 0);
    return r;
}

static int complain(const ErrorText *error, int r)
{
    report_error("%s", error->text);
    return r;
}

static int show_problems(const Config *config)
{
    for (unsigned i = 0; i < problems_kept(&config->problems); i++)
        report_error("%s", config->problems.lines[i]);
    if (config->problems.n > PROBLEMS_MAX)
        report_error("%u more", config->problems.n - PROBLEMS_MAX);
    return config->problems.n ? -EINVAL : 0;
}

/* Whether all that is wrong is this machine's. */
static bool is_right_elsewhere(const Config *config, const Options *options)
{
    return options->check_config && config->problems.n &&
           config->problems.n == config->problems.n_here;
}

/* A start has nothing against it: commands and reloads can make regions. */
static void mention_no_regions(const Config *config, const Options *options)
{
    if (options->check_config && !config->n_regions &&
        config->problems.n == config->problems.n_here)
        (void)printf("%s: there is no file *.conf, and so no region\n", options->config);
}

/* What the service manager passes and wants to be told. */
static int meet_manager(Passed *passed, ErrorText *error)
{
    int r = close_inherited(passed, error);

    notify_open();
    if (r == 0 && (r = watchdog_open()) < 0)
        (void)error_set(error, r, "cannot set up the watchdog: %s", strerror(-r));
    return r;
}

static int prepare(Daemon *daemon, const Options *options, Config *config, Recovery *recovery)
{
    /* The daemon keeps both for as long as it lives. */
    static char run_folder[PATH_MAX];
    static Passed passed;
    ConfigContext context = launch_context(options, run_folder);
    ErrorText error;
    int r;

    r = meet_manager(&passed, &error);
    report_init(options->server.verbose);
    if (r < 0)
        return complain(&error, r);
    limits_raise_fds();
    launch_describe(config, options, &context);
    /* A start that goes on finds out by itself what this machine lacks. */
    if (options->check_config || (options->config && config->problems.n))
        check_machine(config, &context, options, &passed);
    mention_no_regions(config, options);
    r = show_problems(config);
    if (r < 0)
        return r;
    r = daemon_init(daemon, &error);
    if (r < 0)
        return complain(&error, r);
    daemon->passed = &passed;
    daemon->context = context;
    daemon->config_path = options->config;
    daemon->shows_names = options->config;
    daemon->can_change = launch_can_change(options);
    daemon->keeps_state = !options->no_keeper || options->control || options->fd_store;
    daemon->stores = options->fd_store && notify_fd() >= 0;
    daemon->can_leave = options->control || options->take_over;
    share_limit(daemon);
    r = recovery_prepare(recovery, &passed, &error);
    return r < 0 ? complain(&error, r) : 0;
}

/* The folder of the control socket and the observers' sockets, which nobody makes for us when it is
 * in /run. One that is there is left as it is: it may be /run or /tmp itself. */
static int make_run_folder(const Options *options, const ConfigContext *context, ErrorText *error)
{
    const char *path = context->run_folder;

    if (!options->config)
        return 0;
    if (mkdir(path, 0755) < 0)
        return errno == EEXIST ? 0
                               : error_set(error, -errno, "cannot make the folder %s: %s", path,
                                           strerror(errno));
    if (options->run_uid != (uid_t)-1 && chown(path, options->run_uid, options->run_gid) < 0)
        return error_set(error, -errno, "cannot give the folder %s to user %u: %s", path,
                         (unsigned)options->run_uid, strerror(errno));
    return 0;
}

static int open_control(Daemon *daemon, const Options *options, ErrorText *error)
{
    const ControlSpec spec = {options->control, options->control_gid, options->run_uid};

    return options->control ? control_open(&daemon->control, daemon, &spec, error) : 0;
}

/* Of one among many, an error says which it is. */
static int name_region(const char *name, int r, ErrorText *error)
{
    const ErrorText why = *error;

    return error_set(error, r, "region %s: %s", name, why.text);
}

static int open_regions(Daemon *daemon, Config *config, ErrorText *error)
{
    int r = share_all(daemon, config->regions, config->n_regions, error);

    for (unsigned i = 0; r == 0 && i < config->n_regions; i++) {
        DaemonRegion *region;

        r = daemon_add_region(daemon, &config->regions[i], &region, error);
        if (r < 0 && daemon->shows_names)
            return name_region(config->regions[i].name, r, error);
    }
    return r;
}

/* What a next process is to go on with. */
static int write_down(Daemon *daemon, ErrorText *error)
{
    int r;

    if (!daemon->keeps_state)
        return 0;
    daemon->manifest_fd = manifest_new();
    r = daemon->manifest_fd < 0 ? daemon->manifest_fd : record_write(daemon);
    return r < 0 ? error_set(error, r, "cannot write down what is served: %s", strerror(-r)) : 0;
}

/* The regions of the configuration, from nothing. */
static int open_new(Daemon *daemon, const Options *options, Config *config, ErrorText *error)
{
    int r;

    if ((r = open_regions(daemon, config, error)) < 0 ||
        (r = open_control(daemon, options, error)) < 0 ||
        (r = passed_check(daemon->passed, daemon, error)) < 0)
        return r;
    if (options->show_attach)
        attach_show(&daemon->regions->server);
    return 0;
}

/* The paths of the regions that another process has served. @return whether there are any more than
 * before, or a negative errno */
static int read_paths(Daemon *daemon, const Options *options, LaunchPaths *paths, ErrorText *error)
{
    _cleanup_(config_free) Config taken = {0};
    int r = record_read(daemon, &taken, error);

    return r < 0 ? r : launch_add_paths(paths, &taken, options);
}

/* What is served by a running server, or was by one that has left it to the service manager. */
static int meet(Stages *stages, ErrorText *error)
{
    Daemon *daemon = stages->daemon;
    Succession *succession = &stages->succession;
    const char *control = stages->options->take_over;
    int r =
        control ? succession_meet(succession, daemon, control, error) : store_take(daemon, error);

    if (r == 0 && control && !succession->is_known)
        r = succession_receive(succession, daemon, error);
    return r < 0 ? r : read_paths(daemon, stages->options, stages->paths, error);
}

/* What the sandbox has been told of must be all that there is. */
static int check_paths(Stages *stages, ErrorText *error)
{
    int r = stages->succession.is_known
                ? read_paths(stages->daemon, stages->options, stages->paths, error)
                : 0;

    return r > 0 ? error_set(error, -EAGAIN,
                             "cannot take over: the running server has got paths meanwhile that "
                             "it did not have before: try again")
                 : r;
}

/* While a running server still serves. */
static int look_ahead(Stages *stages, ErrorText *error)
{
    int r;

    if (!stages->succession.is_known) /* everything has come already */
        return 0;
    worker_stand_by(&stages->worker); /* what is touched before it would be touched anew after it */
    r = succession_look_ahead(&stages->succession, stages->daemon, error);
    if (r == 0 && stages->succession.passes_ahead)
        worker_look_ahead(&stages->worker);
    return r;
}

/* The rest of a take-over, in which nobody is served: what could be done before has been. */
static int take_over(Stages *stages, ErrorText *error)
{
    Daemon *daemon = stages->daemon;
    int r;

    if ((r = look_ahead(stages, error)) < 0)
        return r;
    if (stages->succession.is_known &&
        (r = succession_receive(&stages->succession, daemon, error)) < 0)
        return r;
    r = succession_prepared(daemon, error);
    return r < 0 ? r : check_paths(stages, error);
}

/* Whether another process has served what this one is to serve. */
static bool is_successor(const Daemon *daemon, const Options *options)
{
    return options->take_over || daemon->passed->n_parcels;
}

/* Undoes what was opened. What came from a running server is still that one's, and what came from
 * the service manager's store is still there. */
static void give_up(Daemon *daemon, const Options *options)
{
    if (!is_successor(daemon, options))
        daemon_close(daemon);
    if (daemon->pidfile_is_new)
        pidfile_close(&daemon->pidfile);
}

static int open_pidfile(Daemon *daemon, const Options *options)
{
    int r;

    if (options->foreground || daemon->pidfile.fd >= 0)
        return 0;
    r = pidfile_open(&daemon->pidfile, options->pidfile, options->run_uid);
    daemon->pidfile_is_new = r == 0;
    return r;
}

static int open_all(Stages *stages, Config *config)
{
    Daemon *daemon = stages->daemon;
    const Options *options = stages->options;
    ErrorText error;
    int r;

    if ((r = is_successor(daemon, options) ? meet(stages, &error) : 0) < 0)
        return complain(&error, r);
    if ((r = open_pidfile(daemon, options)) < 0)
        return r;
    if (is_successor(daemon, options))
        return 0;
    if ((r = loop_init(&daemon->loop)) < 0)
        return complain(&error, error_set(&error, r, "cannot poll: %s", strerror(-r)));
    if ((r = make_run_folder(options, &daemon->context, &error)) < 0 ||
        (r = open_new(daemon, options, config, &error)) < 0 || (r = write_down(daemon, &error)) < 0)
        return complain(&error, r);
    return 0;
}

static unsigned needs(const Options *options)
{
    return (launch_can_change(options) ? SANDBOX_CHANGES : 0U) |
           (options->no_keeper ? 0U : SANDBOX_KEEPS) | (options->take_over ? SANDBOX_INHERITS : 0U);
}

static int confine(Daemon *daemon, const Options *options, const LaunchPaths *paths)
{
    ErrorText error;
    int r =
        drop_privileges(options->run_uid, options->run_gid, paths->groups, paths->n_groups, &error);

    if (r == 0)
        r = sandbox_enter(options->sandbox, needs(options), paths->paths, paths->n, &error);
    if (r == 0 && options->sandbox != SANDBOX_NONE)
        names_confine();
    if (r < 0)
        return complain(&error, r);
    daemon->is_confined = true;
    return 0;
}

/* All until it serves. @return 0 or a negative errno: why has been told */
static int bring_up(Stages *stages, Config *config)
{
    Daemon *daemon = stages->daemon;
    const Options *options = stages->options;
    ErrorText error;
    int r = open_all(stages, config);

    config_free(config);
    if (r == 0)
        r = confine(daemon, options, stages->paths);
    if (r == 0 && options->take_over && (r = take_over(stages, &error)) < 0)
        return complain(&error, r);
    if (r == 0)
        store_drop(daemon);
    if (r == 0 && !is_successor(daemon, options)) /* else the worker does, when it serves */
        r = pidfile_write(&daemon->pidfile, daemon->pid);
    return r;
}

/* @return the exit status */
static int run(Daemon *daemon, const Options *options, Config *config, const Recovery *recovery)
{
    _cleanup_free_ LaunchPaths *paths = launch_paths(config, options);
    Stages stages = {daemon, options, paths, SUCCESSION_NONE, {0}};
    int r;

    if (!paths) {
        report_error("out of memory");
        return EXIT_FAILURE;
    }
    r = worker_init(&stages.worker, daemon, options, recovery, &stages.succession);
    if (r < 0) {
        report_error("cannot keep a worker: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    if (!options->foreground && (r = daemonize_begin(&daemon->daemonize)) < 0) {
        report_error("cannot become a daemon: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    daemon->pid = getpid();
    if (bring_up(&stages, config) < 0) {
        give_up(daemon, options);
        r = EXIT_FAILURE;
    } else {
        r = worker_serve(&stages.worker);
        if (!daemon->has_left)
            pidfile_close(&daemon->pidfile);
    }
    succession_free(&stages.succession);
    daemonize_abandon(&daemon->daemonize);
    return r;
}

int main(int argc, char **argv)
{
    static char out[BUFSIZ]; /* a line buffer from the start: nobody asks what stdout is */
    static Options options;
    _cleanup_(config_free) Config config = {0};
    _cleanup_(recovery_free) Recovery recovery = {0};
    static Daemon daemon; /* what its workers have closed, the keeper never frees */

    standard_open();
    (void)setvbuf(stdout, out, _IOLBF, sizeof(out));
    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_DONE:
        return cli_flush("ivshmem-server");
    case OPTIONS_WRONG:
        return EXIT_FAILURE;
    case OPTIONS_RUN:
        break;
    }
    if (prepare(&daemon, &options, &config, &recovery) < 0)
        return is_right_elsewhere(&config, &options) ? EXIT_HERE : EXIT_FAILURE;
    if (options.check_config)
        return cli_flush("ivshmem-server");
    return run(&daemon, &options, &config, &recovery);
}
