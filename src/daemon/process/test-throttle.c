/* SPDX-License-Identifier: MIT */
#include "daemon/process/throttle.h"

#include "util/testing.h"

#include <stdio.h>

#define SECOND INT64_C(1000000000)

static unsigned show(Throttle *throttle, const char *region, const char *format, int64_t now,
                     unsigned n, unsigned *n_hidden)
{
    unsigned n_shown = 0, hidden;
    char line[128];

    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(line, sizeof(line), "%s %u (pid %u)", format, i, 7 * i);
        if (!throttle_allows(throttle, region, line, now, &hidden))
            continue;
        n_shown++;
        if (n_hidden)
            *n_hidden += hidden;
    }
    return n_shown;
}

static void test_lines_of_one_cause_are_few(void **state)
{
    static Throttle throttle;
    unsigned hidden = 0;

    (void)state;
    assert_int_equal(show(&throttle, NULL, "a", SECOND, 100, &hidden), THROTTLE_LINES);
    assert_int_equal(hidden, 0);
    assert_int_equal(show(&throttle, NULL, "a", 10 * SECOND, 1, &hidden), 0);
    assert_int_equal(show(&throttle, NULL, "a", 11 * SECOND, 1, &hidden), 1);
    assert_int_equal(hidden, 100 - THROTTLE_LINES + 1);
}

static void test_other_causes_are_not_kept_back(void **state)
{
    static Throttle throttle;

    (void)state;
    assert_int_equal(show(&throttle, NULL, "a", SECOND, 100, NULL), THROTTLE_LINES);
    assert_int_equal(show(&throttle, NULL, "b", SECOND, 100, NULL), THROTTLE_LINES);
    assert_int_equal(show(&throttle, "region", "a", SECOND, 100, NULL), THROTTLE_LINES);
}

static void test_more_causes_than_rows(void **state)
{
    static Throttle throttle;
    char line[] = "aa";

    (void)state;
    for (int i = 0; i < 26 * 26; i++) {
        line[0] = (char)('a' + i / 26);
        line[1] = (char)('a' + i % 26);
        assert_int_equal(show(&throttle, NULL, line, SECOND + i, 20, NULL), THROTTLE_LINES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_one_cause_are_few),
        cmocka_unit_test(test_other_causes_are_not_kept_back),
        cmocka_unit_test(test_more_causes_than_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
