/* SPDX-License-Identifier: MIT */
/* Commands that are more than one question. */
#include "tools/ctl/ctl.h"

#include "util/cleanup.h"
#include "util/signals.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The clients come in pages. */
int run_clients(Qmp *qmp, const CtlOptions *options)
{
    json_t *arguments = ctl_arguments(qmp, options), *all = json_array(), *page = NULL;
    bool more = arguments;

    while (more) {
        json_int_t first = json_integer_value(json_object_get(arguments, "first"));
        const json_t *next;

        json_decref(page);
        page = ctl_ask(qmp, "query-clients", json_incref(arguments));
        if (!page)
            break;
        (void)json_array_extend(all, json_object_get(page, "clients"));
        next = json_object_get(page, "next");
        more = next;
        if (next && json_integer_value(next) <= first) {
            (void)ctl_error("the server's answer has no end");
            json_decref(page);
            page = NULL;
            break;
        }
        if (next)
            (void)json_object_set_new(arguments, "first", json_integer(json_integer_value(next)));
    }
    if (page)
        ctl_show(all, options);
    json_decref(arguments);
    json_decref(all);
    json_decref(page);
    return page ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void show_event(const json_t *event, const CtlOptions *options)
{
    const json_t *data = json_object_get(event, "data");
    time_t when =
        (time_t)json_integer_value(json_object_get(json_object_get(event, "timestamp"), "seconds"));
    const char *name;
    char time[32] = "";
    json_t *value;
    struct tm local;

    if (options->json) {
        _cleanup_free_ char *line = json_dumps(event, JSON_COMPACT | JSON_ENSURE_ASCII);

        (void)puts(line ? line : "");
        return;
    }
    if (localtime_r(&when, &local))
        (void)strftime(time, sizeof(time), "%H:%M:%S", &local);
    (void)printf("%s ", time);
    ctl_put(json_string_value(json_object_get(event, "event")));
    json_object_foreach((json_t *)(uintptr_t)data, name, value)
    {
        _cleanup_free_ char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

        (void)putchar(' ');
        ctl_put(name);
        (void)putchar('=');
        ctl_put(json_is_string(value) ? json_string_value(value) : text);
    }
    (void)putchar('\n');
}

/* Shows what has come. False at the end of the connection. */
static bool show_events(Qmp *qmp, const CtlOptions *options)
{
    do {
        json_t *event = qmp_receive(qmp);

        if (!event) {
            (void)ctl_error("%s", qmp->error.text);
            return false;
        }
        show_event(event, options);
        json_decref(event);
    } while (qmp_has_message(qmp));
    (void)fflush(stdout);
    return !ferror(stdout);
}

int run_watch(Qmp *qmp, const CtlOptions *options)
{
    _cleanup_close_ int signals = signals_open(0);
    struct pollfd fds[] = {
        {.fd = qmp->fd, .events = POLLIN},
        {.fd = signals, .events = POLLIN},
    };

    if (options->n_words)
        return ctl_error("watch: unexpected argument '%s' (see --help)", options->words[0]);
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return ctl_error("cannot wait: %s", strerror(errno));
        if (fds[1].revents)
            return EXIT_SUCCESS;
        if (fds[0].revents && !show_events(qmp, options))
            return EXIT_FAILURE;
    }
}
