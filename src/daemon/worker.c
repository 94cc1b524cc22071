/* SPDX-License-Identifier: MIT */
#include "daemon/worker.h"

#include "daemon/launch.h"
#include "daemon/process/keeper.h"
#include "daemon/process/report.h"
#include "daemon/process/sandbox.h"
#include "daemon/reload.h"
#include "daemon/resume/record.h"
#include "daemon/resume/store.h"
#include "daemon/resume/succession.h"
#include "daemon/resume/unfinished.h"
#include "util/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

/* Exit status of a worker that another process has taken over from, and of one that the process
 * that it was to take over from does not let go on. */
#define LEFT    3
#define REFUSED 6

/* What the options ask for may be other than what the predecessor served; if they ask for nothing,
 * that stays as it is. */
static void apply_options(Daemon *daemon, const Options *options)
{
    _cleanup_(reload_free) Reload reload = {0};
    _cleanup_(config_free) Config config;

    if (!options->says_regions)
        return;
    launch_describe(&config, options, &daemon->context);
    if (config.problems.n == 0)
        reload_apply(daemon, &config, &reload);
    else
        report_error("the configuration is wrong, and is not applied: %s",
                     config.problems.lines ? config.problems.lines[0] : "no memory");
    reload_report(&reload, LOG_NOTICE);
}

/* A worker was killed in a reload: listeners that were to be made anew may be missing. If it kills
 * this one, too, the next one lets it be. */
static void finish_reload(Daemon *daemon, const Options *options)
{
    if (daemon->n_reloads > 1)
        report_error("a reload has killed two workers, and is given up: what it has removed is "
                     "missing until the next one");
    else
        apply_options(daemon, options);
    if (daemon->n_reloads)
        reload_give_up(daemon);
}

static LoopHandler keeper;

static void forget_keeper(void *owner)
{
    (void)owner;
    keeper.fd = fd_close(keeper.fd);
}

/* Whoever ends the server by its pidfile has to find us there. */
static void outlive_keeper(Daemon *daemon)
{
    report_error("the keeper has ended: this worker serves on, but if it is killed, every client's "
                 "connection ends");
    (void)pidfile_write(&daemon->pidfile, getpid());
    if (!keeper_has_told())
        daemonize_done(&daemon->daemonize);
}

static void keeper_ended(void *owner, uint32_t events)
{
    Daemon *daemon = owner;

    (void)events;
    outlive_keeper(daemon);
    loop_retire(&daemon->loop, &keeper);
}

/* That the keeper ends is told to the worker, which goes on. A kernel that cannot say so does not.
 * If it has ended before, nothing has its number, or another process has.
 * seccomp: pidfd_open getppid */
static void watch_keeper(Daemon *daemon)
{
    keeper = (LoopHandler){.fd = (int)syscall(SYS_pidfd_open, daemon->pid, 0),
                           .ready = keeper_ended,
                           .destroy = forget_keeper,
                           .owner = daemon};
    if (getppid() != daemon->pid) {
        outlive_keeper(daemon);
        forget_keeper(NULL);
    } else if (keeper.fd >= 0 && loop_add(&daemon->loop, &keeper, EPOLLIN) < 0) {
        forget_keeper(NULL);
    }
}

/* In this order: whoever served before ends then, and the keeper must not. */
static void begin_to_serve(Daemon *daemon)
{
    keeper_serve();
    succession_serving(daemon);
}

/* Goes on as the manifest says. */
static int go_on(const Worker *worker, ErrorText *error)
{
    Daemon *daemon = worker->daemon;
    ErrorText why;
    int r = record_resume(daemon, error);
    bool succeeds = daemon->predecessor_fd >= 0;

    ahead_free(&daemon->ahead);
    if (r < 0)
        return r;
    if (daemon->successor_fd >= 0) {
        daemon->has_left = succession_await(daemon, &why) == 0;
        if (daemon->has_left)
            return 0;
        report_error("%s", why.text);
    }
    if (succeeds && (r = succession_may_serve(daemon, error)) < 0) {
        daemon->is_refused = true;
        return r;
    }
    if (succeeds || daemon->is_restored)
        (void)pidfile_write(&daemon->pidfile, daemon->pid);
    if (succeeds)
        begin_to_serve(daemon);
    r = recovery_sort_out(worker->recovery, daemon, error);
    if (succeeds)
        succession_end(daemon);
    if (r == 0)
        unfinished_clear(daemon);
    if (r == 0 && (succeeds || (daemon->is_restored && !daemon->n_killed)))
        apply_options(daemon, worker->options);
    else if (r == 0 && daemon->n_reloads)
        finish_reload(daemon, worker->options);
    if (r == 0) {
        keeper_serve();
        keeper_ready();
    }
    return r;
}

/* At a service's end, which may be that of this process only. */
static void try_to_store(Daemon *daemon)
{
    ErrorText error;

    daemon->has_left = store_put(daemon, &error) == 0;
    if (!daemon->has_left)
        report_error("%s", error.text);
}

static int serve(Daemon *daemon, KeeperTask task)
{
    int r = task == KEEPER_SERVE && !daemon->has_left ? daemon_run(daemon) : 0;
    bool is_end = task == KEEPER_END || daemon->is_terminated;

    if (r == 0 && is_end && daemon->stores && !daemon->has_left)
        try_to_store(daemon);
    if (daemon->has_left)
        return LEFT;
    daemon_close(daemon);
    if (r == 0)
        (void)puts("server disconnected");
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What takes a new process its time is behind it then: its filter of system calls. */
static int prepare(void *context)
{
    const Worker *worker = context;
    ErrorText error;
    int r = sandbox_tighten(worker->options->sandbox, &error);

    if (r < 0)
        report_error("%s", error.text);
    return r;
}

/* To be given the pages of memory, program and libraries that it needs to read the manifest, and
 * those of the states. All of it is read again when it counts. */
static void look_ahead(void *context)
{
    const Worker *worker = context;
    _cleanup_(config_free) Config config = {0};
    ErrorText error;

    if (record_read(worker->daemon, &config, &error) == 0)
        ahead_look(&worker->daemon->ahead, &config, keeper_is_wanted);
}

/* What a worker does from then on to its end. */
static int work(void *context, KeeperTask task, unsigned n_killed)
{
    const Worker *worker = context;
    Daemon *daemon = worker->daemon;
    ErrorText error;
    int status;

    daemon->n_killed = n_killed;
    if (go_on(worker, &error) < 0) {
        report_error("%s", error.text);
        record_abandon(daemon); /* the next worker, too, has to find descriptors that are free */
        return daemon->is_refused ? REFUSED : daemon->is_alone ? KEEPER_GO_ON : KEEPER_TRY_AGAIN;
    }
    watch_keeper(daemon);
    status = serve(daemon, task);
    if (getppid() != daemon->pid && !daemon->has_left)
        pidfile_close(&daemon->pidfile); /* the keeper would have */
    return status;
}

/* In the process that was started. Whoever has started it sees nothing that is said from then on.
 */
static void ready(void *context)
{
    const Worker *worker = context;
    Daemon *daemon = worker->daemon;

    daemonize_done(&daemon->daemonize);
    daemon->predecessor_fd = -1; /* closed by whoever serves: the table is one */
}

/* To give back so much memory takes a while. */
static void settled(void *context)
{
    const Worker *worker = context;

    succession_free(worker->succession);
}

/* Without a keeper. */
static int serve_alone(Worker *worker)
{
    const Daemon *daemon = worker->daemon;
    ErrorText error;

    if ((daemon->predecessor_fd >= 0 || daemon->is_restored) && go_on(worker, &error) < 0) {
        report_error("%s", error.text);
        return daemon->is_alone ? EXIT_FAILURE : KEEPER_TRY_AGAIN;
    }
    ready(worker);
    settled(worker);
    return serve(worker->daemon, KEEPER_SERVE);
}

/* No worker could begin, or end, what this process has opened: it is the last that knows which
 * paths are ours. */
static void clean_up(Daemon *daemon)
{
    ErrorText error;

    (void)record_resume(daemon, &error);
    daemon_close(daemon);
}

/* Another's clients and paths are not touched. */
static void leave_alone(Daemon *daemon)
{
    if (daemon->predecessor_fd >= 0 && !daemon->pidfile_is_new)
        daemon->pidfile.fd = fd_close(daemon->pidfile.fd);
}

int worker_init(Worker *worker, Daemon *daemon, const Options *options, const Recovery *recovery,
                Succession *succession)
{
    static const KeeperJob job = {prepare, look_ahead, work, ready, settled};

    *worker = (Worker){daemon, options, recovery, succession, {0}};
    return options->no_keeper ? 0 : keeper_init(&worker->keeper, &job, worker);
}

void worker_stand_by(Worker *worker)
{
    if (!worker->options->no_keeper)
        keeper_stand_by(&worker->keeper);
}

void worker_look_ahead(Worker *worker)
{
    if (!worker->options->no_keeper)
        keeper_look_ahead(&worker->keeper);
}

static int keep(Worker *worker)
{
    int r;

    record_abandon(worker->daemon);
    if (worker->daemon->is_restored)
        keeper_serve(); /* there are clients, and nobody else has them */
    r = keeper_run(&worker->keeper);
    if (r < 0)
        report_error("cannot start a worker: %s", strerror(-r));
    return r;
}

int worker_serve(Worker *worker)
{
    Daemon *daemon = worker->daemon;
    int r = worker->options->no_keeper ? serve_alone(worker) : keep(worker);
    bool has_failed = r < 0 || r == KEEPER_TRY_AGAIN || r == REFUSED;

    if (has_failed && (daemon->predecessor_fd >= 0 || daemon->is_restored))
        leave_alone(daemon);
    else if (has_failed)
        clean_up(daemon);
    daemon->has_left = r == LEFT;
    return has_failed ? EXIT_FAILURE : daemon->has_left ? EXIT_SUCCESS : r;
}
