/* SPDX-License-Identifier: MIT */
#include "util/cli.h"
#include "util/deadline.h"
#include "util/testing.h"

#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

static const CliOption table[] = {
    {'h', "help", NULL, "a letter and no value"},
    {0, "size", "N", "a value and no letter"},
    {'p', "path", "PATH", "both"},
};

#define N     3
#define WORDS 16

/* A command line, to be read from its beginning. */
static int begin(const char *const *words, char **argv)
{
    int argc = 0;

    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    argv[argc] = NULL;
    optind = 0; /* makes getopt forget what it knows */
    return argc;
}

static void test_options(void **state)
{
    const char *words[] = {"x", "-h",     "one", "--size=7", "-pq", "--path",
                           "r", "--help", "--",  "-h",       NULL};
    char *argv[WORDS];
    const char *value = NULL;
    int argc = begin(words, argv);

    (void)state;
    assert_int_equal(cli_next(table, N, "x", argc, argv, &value), 0);
    assert_null(value);
    assert_int_equal(cli_next(table, N, "x", argc, argv, &value), 1);
    assert_string_equal(value, "7");
    assert_int_equal(cli_next(table, N, "x", argc, argv, &value), 2);
    assert_string_equal(value, "q");
    assert_int_equal(cli_next(table, N, "x", argc, argv, &value), 2);
    assert_string_equal(value, "r");
    assert_int_equal(cli_next(table, N, "x", argc, argv, &value), 0);
    assert_int_equal(cli_next(table, N, "x", argc, argv, &value), CLI_END);
    assert_string_equal(argv[optind], "one");
    assert_string_equal(argv[optind + 1], "-h");
}

/* What standard error gets for a command line that is wrong. */
static void expect_complaint(const char *const *words, const char *expected)
{
    char *argv[WORDS];
    char said[256] = "";
    const char *value;
    int ends[2], saved = dup(STDERR_FILENO);
    int argc = begin(words, argv);

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(cli_next(table, N, "x", argc, argv, &value), CLI_WRONG);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    assert_true(read(ends[0], said, sizeof(said) - 1) > 0);
    assert_string_equal(said, expected);
    close(saved);
    close(ends[0]);
    close(ends[1]);
}

static void test_wrong_options(void **state)
{
    (void)state;
    expect_complaint((const char *[]){"x", "-q", NULL}, "x: unknown option '-q' (see --help)\n");
    expect_complaint((const char *[]){"x", "--quick", NULL},
                     "x: unknown option '--quick' (see --help)\n");
    expect_complaint((const char *[]){"x", "--help=1", NULL},
                     "x: unexpected value in '--help=1' (see --help)\n");
    expect_complaint((const char *[]){"x", "-p", NULL},
                     "x: a value is missing after '-p' (see --help)\n");
    expect_complaint((const char *[]){"x", "--size", NULL},
                     "x: a value is missing after '--size' (see --help)\n");
}

static void test_abbreviated_options(void **state)
{
    (void)state;
    expect_complaint((const char *[]){"x", "--he", NULL},
                     "x: unknown option '--he' (see --help)\n");
    expect_complaint((const char *[]){"x", "--pat", "r", NULL},
                     "x: unknown option '--pat' (see --help)\n");
    expect_complaint((const char *[]){"x", "--pat=path", NULL},
                     "x: unknown option '--pat=path' (see --help)\n");
    expect_complaint((const char *[]){"x", "--siz", NULL},
                     "x: unknown option '--siz' (see --help)\n");
    expect_complaint((const char *[]){"x", "--he=1", NULL},
                     "x: unknown option '--he=1' (see --help)\n");
}

static void test_deadline(void **state)
{
    int64_t past = deadline_after(0), later = deadline_after(60000);

    (void)state;
    assert_int_equal(deadline_left(deadline_after(-1)), -1);
    assert_int_equal(deadline_left(past), 0);
    assert_in_range(deadline_left(later), 1, 60000);
    assert_int_equal(deadline_left(INT64_MAX - 1), INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_abbreviated_options),
        cmocka_unit_test(test_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
