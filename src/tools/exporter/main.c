/* SPDX-License-Identifier: MIT */
/*
 * ivshmem-exporter: what a server does, for Prometheus. A loop of one thread between HTTP on one
 * side and the server's control socket on the other; neither can make it wait for the other.
 */
#include "tools/exporter/exporter.h"
#include "tools/exporter/http.h"
#include "tools/exporter/listen.h"
#include "tools/exporter/metrics.h"
#include "util/cleanup.h"
#include "util/cli.h"
#include "util/deadline.h"
#include "util/signals.h"
#include "util/standard.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define PAUSE_MS  100 /* between two times that the server is asked */

typedef struct ExporterOptions {
    const char *control;
    const char *listen;
    int timeout_ms; /* for all answers of the server together */
} ExporterOptions;

typedef struct Exporter {
    ExporterOptions options;
    Http http;
    Ask ask;
    bool is_down; /* the server has not answered the last time */
    uint64_t n_failures;
} Exporter;

enum {
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_CONTROL,
    OPTION_LISTEN,
    OPTION_TIMEOUT,
    OPTION_METRICS,
    N_OPTIONS
};

static const CliOption table[] = {
    [OPTION_HELP] = CLI_HELP,
    [OPTION_VERSION] = CLI_VERSION,
    [OPTION_CONTROL] = {'c', "control", "PATH",
                        "the server's control socket (" QMP_DEFAULT_PATH ")"},
    [OPTION_LISTEN] = {'l', "listen", "ADDRESS:PORT", "serve HTTP there (" DEFAULT_LISTEN ")"},
    [OPTION_TIMEOUT] = {0, "timeout", "S", "seconds that the server may take to answer (5)"},
    [OPTION_METRICS] = {0, "metrics", NULL, "show the metrics that there are and exit"},
};

static int fail(const char *text)
{
    (void)fprintf(stderr, PROGRAM ": %s\n", text);
    return EXIT_FAILURE;
}

static void show_help(void)
{
    (void)puts("Usage: " PROGRAM " [OPTION]...\n"
               "Serve the metrics of an ivshmem-server to Prometheus, at /metrics.\n");
    cli_show(table, N_OPTIONS);
}

/* What the exporter knows itself, as an answer like those of the server. */
static json_t *describe_self(const Exporter *exporter, bool is_up)
{
    return json_pack("{s:i,s:I,s:I,s:s}", "up", is_up, "duration-us",
                     (json_int_t)((deadline_now() - exporter->ask.began) / NS_PER_US), "failures",
                     (json_int_t)exporter->n_failures, "version", IVSHMEM_VERSION);
}

/* The log has a line when the server stops answering, and one when it answers again. */
static void note(Exporter *exporter, bool is_up)
{
    exporter->n_failures += !is_up;
    if (exporter->is_down == !is_up)
        return;
    exporter->is_down = !is_up;
    if (is_up)
        (void)fprintf(stderr, PROGRAM ": %s: the server answers again\n",
                      exporter->options.control);
    else
        (void)fail(exporter->ask.qmp.error.text);
}

static void answer(Exporter *exporter, AskResult result)
{
    Ask *ask = &exporter->ask;
    bool is_up = result == ASK_DONE;
    size_t size = 0;
    char *text;

    if (result == ASK_GOES_ON)
        return;
    note(exporter, is_up);
    ask->answers[QUESTION_SELF] = describe_self(exporter, is_up);
    text = metrics_render(ask->answers, &size);
    http_answer(&exporter->http, text, size);
    ask_end(ask);
}

static int sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Milliseconds until there is something to do for the server's sake; -1: there is not. */
static int ask_timeout(const Exporter *exporter)
{
    const Ask *ask = &exporter->ask;

    if (ask->is_running)
        return deadline_left(ask->deadline);
    return exporter->http.n_waiting ? deadline_left(ask->began + PAUSE_MS * NS_PER_MS) : -1;
}

/* Serves until a signal comes. */
static int serve(Exporter *exporter, int signals)
{
    Ask *ask = &exporter->ask;
    struct pollfd fds[] = {
        {.fd = signals, .events = POLLIN},
        {.fd = http_fd(&exporter->http), .events = POLLIN},
        {.events = POLLIN},
    };

    for (;;) {
        int timeout = sooner(http_timeout(&exporter->http), ask_timeout(exporter));

        fds[2].fd = ask->is_running ? ask->qmp.fd : -1;
        if (poll(fds, 3, timeout) < 0 && errno != EINTR)
            return -errno;
        if (fds[0].revents)
            return 0;
        if (ask->is_running && (fds[2].revents || ask_timeout(exporter) == 0))
            answer(exporter, ask_go_on(ask));
        http_run(&exporter->http);
        if (!ask->is_running && ask_timeout(exporter) == 0)
            answer(exporter,
                   ask_begin(ask, exporter->options.control, exporter->options.timeout_ms));
    }
}

static int run(const ExporterOptions *options)
{
    Exporter exporter = {.options = *options};
    _cleanup_close_ int signals = signals_open(0);
    char name[LISTEN_MAX_NAME];
    ErrorText error;
    int r;

    (void)signal(SIGPIPE, SIG_IGN); /* of clients that hang up */
    if (signals < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(strerror(errno));
    r = listen_at(options->listen, name, &error);
    if (r >= 0)
        r = http_open(&exporter.http, r, options->timeout_ms, &error);
    if (r == 0) {
        (void)printf("http://%s/metrics\n", name);
        (void)fflush(stdout);
        r = serve(&exporter, signals);
        if (r < 0)
            (void)error_set(&error, r, "cannot wait: %s", strerror(-r));
    }
    http_close(&exporter.http);
    ask_end(&exporter.ask);
    return r < 0 ? fail(error.text) : EXIT_SUCCESS;
}

/* False if the value is wrong, which has been shown. */
static bool store(ExporterOptions *options, int option, const char *value)
{
    if (option == OPTION_CONTROL)
        options->control = value;
    if (option == OPTION_LISTEN)
        options->listen = value;
    if (option == OPTION_TIMEOUT)
        options->timeout_ms = cli_seconds(PROGRAM, "timeout", value, 60);
    return options->timeout_ms > 0;
}

/* Whether it is an option that only shows something, which is done. */
static bool show(int option)
{
    switch (option) {
    case OPTION_HELP:
        show_help();
        return true;
    case OPTION_VERSION:
        (void)puts(PROGRAM " " IVSHMEM_VERSION);
        return true;
    case OPTION_METRICS:
        metrics_list();
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    ExporterOptions options = {QMP_DEFAULT_PATH, DEFAULT_LISTEN, 5000};
    const char *value;
    int option;

    standard_open();
    while ((option = cli_next(table, N_OPTIONS, PROGRAM, argc, argv, &value)) != CLI_END) {
        if (show(option))
            return cli_flush(PROGRAM);
        if (option < 0 || !store(&options, option, value))
            return EXIT_FAILURE;
    }
    if (optind < argc) {
        (void)fprintf(stderr, PROGRAM ": unexpected argument '%s' (see --help)\n", argv[optind]);
        return EXIT_FAILURE;
    }
    return run(&options);
}
