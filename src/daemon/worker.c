/* SPDX-License-Identifier: MIT */
#include "daemon/worker.h"

#include "daemon/keeper.h"
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

/* What a worker does from its start to its end; a process without a keeper is its own worker. */
static int work(void *context, KeeperTask task)
{
    Worker *worker = context;
    Daemon *daemon = worker->daemon;
    unsigned needs = daemon->can_change ? SANDBOX_CHANGES : SANDBOX_SERVES;
    ErrorText error;
    int r = 0;

    if (!worker->options->no_keeper)
        r = sandbox_tighten(worker->options->sandbox, needs, &error);
    if (r == 0 && task != KEEPER_SERVE)
        r = recovery_go_on(&worker->recovery, daemon, &error);
    if (r < 0)
        report_error("%s", error.text);
    else if (task != KEEPER_END)
        r = daemon_run(daemon);
    daemon_close(daemon);
    if (r == 0)
        (void)puts("server disconnected");
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int worker_serve(Daemon *daemon, const Options *options)
{
    Worker worker = {.daemon = daemon, .options = options};
    ErrorText error;
    int r;

    if (options->no_keeper)
        return work(&worker, KEEPER_SERVE);
    r = recovery_prepare(&worker.recovery, daemon, &error);
    if (r < 0)
        report_error("%s", error.text);
    else if ((r = keeper_run(work, &worker)) < 0)
        report_error("cannot start a worker: %s", strerror(-r));
    if (r < 0)
        daemon_close(daemon);
    recovery_free(&worker.recovery);
    return r < 0 ? EXIT_FAILURE : r;
}
