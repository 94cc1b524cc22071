/* SPDX-License-Identifier: MIT */
/* What the daemon writes down is there as a whole or not at all, however little memory there is. */
#include "daemon/resume/record.h"

#include "daemon/process/report.h"
#include "daemon/resume/manifest.h"
#include "util/testing.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned n_left; /* allocations until one fails; 0: none does */
static bool has_failed;

static void *allocate(size_t size)
{
    if (n_left && --n_left == 0) {
        has_failed = true;
        return NULL;
    }
    return malloc(size);
}

/* What daemon/resume/record.c needs to go on, which this test does not. */
int control_resume(Control *control, Daemon *daemon, const ListenSocket *socket, ErrorText *error)
{
    (void)control, (void)daemon, (void)socket;
    return error_set(error, -ENOSYS, "not here");
}

void control_abandon(Control *control)
{
    (void)control;
}

int daemon_region_resume(Daemon *daemon, const RegionSettings *settings, DaemonRegion **out,
                         ErrorText *error)
{
    (void)daemon, (void)settings, (void)out;
    return error_set(error, -ENOSYS, "not here");
}

void daemon_region_abandon(DaemonRegion *region)
{
    (void)region;
}

void report_error(const char *format, ...)
{
    (void)format;
}

static json_t *load(int fd)
{
    ErrorText error;
    json_t *text = manifest_load(fd, &error);

    assert_non_null(text);
    return text;
}

/* As it was, or as it was to be. */
static void check(const Daemon *daemon, int r, json_t *before, json_t *after)
{
    json_t *now = load(daemon->manifest_fd);

    assert_true(json_equal(now, r < 0 ? before : after));
    json_decref(now);
}

static json_t *written(const Daemon *daemon)
{
    assert_int_equal(record_write(daemon), 0);
    return load(daemon->manifest_fd);
}

static void test_all_or_nothing(void **state)
{
    static DaemonListener listeners[] = {{.settings = {.name = "a", .path = "/a"}},
                                         {.settings = {.name = "b", .path = "/b"}}};
    DaemonListener *places[] = {&listeners[0], NULL, &listeners[1]};
    static DaemonRegion second = {.settings = {.name = "second"}, .state_fd = 8};
    static DaemonRegion first = {.settings = {.name = "first"}, .state_fd = 7, .next = &second};
    static Daemon daemon = {.regions = &first,
                            .control = {.socket = {.path = "/control", .fd = 5, .lock_fd = 6}},
                            .pidfile = {.path = "/pidfile", .fd = 9},
                            .predecessor_fd = -1,
                            .successor_fd = 10};
    json_t *before, *after;

    (void)state;
    first.listeners = second.listeners = places;
    first.n_listeners = second.n_listeners = 3;
    assert_true(policy_add(&listeners[0].settings.policy.users, 1000));
    assert_true(policy_add(&listeners[0].settings.policy.users, 1001));
    daemon.manifest_fd = manifest_new();
    after = written(&daemon);
    daemon.successor_fd = -1;
    before = written(&daemon);
    for (unsigned n = 1; n == 1 || has_failed; n++) {
        int r;

        daemon.successor_fd = -1;
        json_decref(written(&daemon));
        daemon.successor_fd = 10;
        has_failed = false;
        n_left = n;
        json_set_alloc_funcs(allocate, free);
        r = record_write(&daemon);
        n_left = 0;
        json_set_alloc_funcs(malloc, free);
        check(&daemon, r, before, after);
        assert_true(has_failed || r == 0);
    }
    json_decref(before);
    json_decref(after);
    (void)close(daemon.manifest_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
