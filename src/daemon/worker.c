/* SPDX-License-Identifier: MIT */
#include "daemon/worker.h"

#include "daemon/keeper.h"
#include "daemon/memory.h"
#include "daemon/recovery.h"
#include "daemon/report.h"
#include "daemon/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Worker {
    Daemon *daemon;
    const Options *options;
    Recovery recovery;
} Worker;

static int serve(Daemon *daemon, KeeperTask task)
{
    int r = task == KEEPER_SERVE ? daemon_run(daemon) : 0;

    daemon_close(daemon);
    if (r == 0)
        (void)puts("server disconnected");
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What a worker does from its start to its end. */
static int work(void *context, KeeperTask task)
{
    Worker *worker = context;
    Daemon *daemon = worker->daemon;
    unsigned needs = daemon->can_change ? SANDBOX_CHANGES : SANDBOX_SERVES;
    ErrorText error;

    if (sandbox_tighten(worker->options->sandbox, needs, &error) < 0 ||
        daemon_resume(daemon, &error) < 0 ||
        recovery_sort_out(&worker->recovery, daemon, &error) < 0) {
        report_error("%s", error.text);
        daemon_close(daemon);
        return EXIT_FAILURE;
    }
    return serve(daemon, task);
}

int worker_serve(Daemon *daemon, const Options *options)
{
    Worker worker = {.daemon = daemon, .options = options};
    ErrorText error;
    int r;

    if (options->no_keeper)
        return serve(daemon, KEEPER_SERVE);
    r = recovery_prepare(&worker.recovery, daemon, &error);
    if (r < 0) {
        report_error("%s", error.text);
        daemon_close(daemon);
        return EXIT_FAILURE;
    }
    daemon_abandon(daemon);
    r = keeper_run(work, &worker);
    if (r < 0)
        report_error("cannot start a worker: %s", strerror(-r));
    recovery_free(&worker.recovery);
    return r < 0 ? EXIT_FAILURE : r;
}
