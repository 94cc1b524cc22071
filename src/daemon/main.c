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
 * - serve, until a signal comes. It should need nothing that has gone.
 */
#include "daemon/attach.h"
#include "daemon/daemonize.h"
#include "daemon/drop.h"
#include "daemon/options.h"
#include "daemon/pidfile.h"
#include "daemon/sandbox.h"
#include "util/cleanup.h"
#include "util/limits.h"
#include "util/signals.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static void show_line(void *opaque, int priority, const char *line)
{
    const Options *options = opaque;

    /* Errors end the program, which shows them itself. */
    if (priority == LOG_ERR)
        return;
    if (priority < LOG_INFO)
        (void)fprintf(stderr, "ivshmem-server: %s\n", line);
    else if (options->server.verbose)
        (void)puts(line);
}

static IvshmemServerAdmission judge(void *opaque, const IvshmemServer *server, int listener,
                                    const IvshmemServerCredentials *who)
{
    const Options *options = opaque;

    (void)server, (void)listener;
    return policy_judge(&options->policy, who);
}

/* An fd that is readable when the server is to end. */
static int open_signals(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    return signals_open();
}

/* What a launcher forgot to close is not ours to hold. */
static void close_inherited(void)
{
    (void)close_range(STDERR_FILENO + 1, UINT_MAX, 0);
}

static int complain(const ErrorText *error, int r)
{
    (void)fprintf(stderr, "ivshmem-server: %s\n", error->text);
    return r;
}

static int prepare(IvshmemServer *server, Options *options, int *signal_fd)
{
    int r;

    options->server.log = show_line;
    options->server.admit = judge;
    options->server.opaque = options;
    limits_raise_fds();
    *signal_fd = open_signals();
    if (*signal_fd < 0) {
        (void)fprintf(stderr, "ivshmem-server: cannot wait for signals: %s\n",
                      strerror(-*signal_fd));
        return *signal_fd;
    }
    r = ivshmem_server_init_config(server, &options->server);
    if (r < 0)
        (void)fprintf(stderr, "ivshmem-server: %s\n", ivshmem_server_error(server));
    return r;
}

static int open_all(IvshmemServer *server, const Options *options, Pidfile *pidfile)
{
    int r = options->foreground ? 0 : pidfile_open(pidfile, options->pidfile, options->run_uid);

    if (r < 0)
        return r;
    r = ivshmem_server_start(server);
    if (r < 0)
        (void)fprintf(stderr, "ivshmem-server: %s\n", ivshmem_server_error(server));
    return r;
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

static int confine(const IvshmemServer *server, const Options *options)
{
    char socket_folder[PATH_MAX], pid_folder[PATH_MAX];
    bool in_folder = options->server.memory == IVSHMEM_SERVER_MEMORY_DIRECTORY;
    const SandboxPath paths[] = {
        {folder_of(server->unix_sock_path, socket_folder), .remove = true},
        {folder_of(options->pidfile, pid_folder), .remove = true},
        {"/dev/shm", .read = true, .write = true, .remove = true},
        {in_folder ? server->shm_path : "/dev/shm", .read = true, .write = true},
        {"/dev/null", .read = true},
        {"/proc", .read = true},
    };
    ErrorText error;
    int r = drop_privileges(options->run_uid, options->run_gid, &error);

    if (r == 0)
        r = sandbox_enter(options->sandbox, paths, sizeof(paths) / sizeof(paths[0]), &error);
    return r < 0 ? complain(&error, r) : 0;
}

/* Serves until a signal comes. seccomp: poll ppoll */
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

/* From "open" to the end. */
static int run(IvshmemServer *server, const Options *options, int signal_fd)
{
    _cleanup_(pidfile_close) Pidfile pidfile = PIDFILE_NONE;
    _cleanup_(daemonize_abandon) Daemonize daemonize = DAEMONIZE_NONE;
    int r;

    if (!options->foreground && (r = daemonize_begin(&daemonize)) < 0) {
        (void)fprintf(stderr, "ivshmem-server: cannot become a daemon: %s\n", strerror(-r));
        return r;
    }
    if ((r = open_all(server, options, &pidfile)) < 0)
        return r;
    if (options->show_attach)
        attach_show(server);
    if ((r = confine(server, options)) == 0) {
        daemonize_done(&daemonize);
        r = serve(server, signal_fd);
        if (r < 0)
            (void)fprintf(stderr, "ivshmem-server: %s\n", ivshmem_server_error(server));
    }
    ivshmem_server_close(server);
    if (r == 0)
        (void)puts("server disconnected");
    return r;
}

int main(int argc, char **argv)
{
    static char out[BUFSIZ];     /* a line buffer from the start: nobody asks what stdout is */
    static IvshmemServer server; /* some kilobytes of paths */
    static Options options;
    _cleanup_close_ int signal_fd = -1;

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
    if (prepare(&server, &options, &signal_fd) < 0)
        return EXIT_FAILURE;
    return run(&server, &options, signal_fd) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
