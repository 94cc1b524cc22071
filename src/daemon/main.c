/* SPDX-License-Identifier: MIT */
/*
 * ivshmem-server: a thin host of the library. What is here belongs to a process: options, signals,
 * the pidfile, becoming a daemon, the limit on descriptors.
 */
#include "daemon/attach.h"
#include "daemon/daemonize.h"
#include "daemon/options.h"
#include "daemon/pidfile.h"
#include "util/cleanup.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <syslog.h>

static void show_line(void *opaque, int priority, const char *line)
{
    const Options *options = opaque;

    /* Errors end the program, which shows them itself. */
    if (priority == LOG_ERR)
        return;
    if (priority < LOG_INFO)
        (void)fprintf(stderr, "ivshmem-server: %s\n", line);
    else if (options->server.verbose) {
        (void)puts(line);
        (void)fflush(stdout);
    }
}

/* As many clients as the system allows. */
static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* An fd that is readable when the server is to end. */
static int open_signals(void)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Serves until a signal comes. */
static int serve(IvshmemServer *server, int signal_fd)
{
    struct pollfd fds[] = {
        {.fd = ivshmem_server_get_fd(server), .events = POLLIN},
        {.fd = signal_fd, .events = POLLIN},
    };

    for (;;) {
        int r;

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return -errno;
        if (fds[1].revents)
            return 0;
        if (fds[0].revents && (r = ivshmem_server_dispatch(server)) < 0)
            return r;
    }
}

/* Starts the server and, in the background, what belongs to a daemon. Errors have been shown. */
static int start(IvshmemServer *server, const Options *options, Pidfile *pidfile)
{
    int ready = options->foreground ? -1 : daemonize();
    int r;

    if (!options->foreground && ready < 0) {
        (void)fprintf(stderr, "ivshmem-server: cannot become a daemon: %s\n", strerror(-ready));
        return ready;
    }
    if (!options->foreground && (r = pidfile_open(pidfile, options->pidfile)) < 0)
        return r;
    r = ivshmem_server_start(server);
    if (r < 0) {
        (void)fprintf(stderr, "ivshmem-server: %s\n", ivshmem_server_error(server));
        return r;
    }
    if (options->show_attach)
        attach_show(server);
    if (!options->foreground)
        daemonize_done(ready);
    return 0;
}

int main(int argc, char **argv)
{
    static IvshmemServer server; /* some kilobytes of paths */
    _cleanup_(pidfile_close) Pidfile pidfile = PIDFILE_NONE;
    _cleanup_close_ int signal_fd = -1;
    Options options;
    int r;

    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_DONE:
        return EXIT_SUCCESS;
    case OPTIONS_WRONG:
        return EXIT_FAILURE;
    case OPTIONS_RUN:
        break;
    }
    options.server.log = show_line;
    options.server.opaque = &options;
    raise_fd_limit();
    signal_fd = open_signals();
    if (ivshmem_server_init_config(&server, &options.server) < 0) {
        (void)fprintf(stderr, "ivshmem-server: %s\n", ivshmem_server_error(&server));
        return EXIT_FAILURE;
    }
    if (start(&server, &options, &pidfile) < 0)
        return EXIT_FAILURE;
    r = serve(&server, signal_fd);
    if (r < 0)
        (void)fprintf(stderr, "ivshmem-server: %s\n", ivshmem_server_error(&server));
    ivshmem_server_close(&server);
    (void)puts("server disconnected");
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
