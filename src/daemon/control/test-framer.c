/* SPDX-License-Identifier: MIT */
#include "daemon/control/framer.h"

#include "util/testing.h"

#include <string.h>

typedef struct Expected {
    FrameKind kind;
    const char *text;
} Expected;

/* Gives the stream to a framer, `step` bytes more each time, and compares what it finds. */
static void check(const char *stream, size_t step, const Expected *expected, size_t n)
{
    size_t begin = 0, end = 0, size = strlen(stream), found = 0, length;
    Framer framer = {0};

    while (end < size) {
        FrameKind kind;

        end = end + step < size ? end + step : size;
        while ((kind = framer_next(&framer, stream + begin, end - begin, &length)) != FRAME_NONE) {
            assert_true(found < n);
            assert_int_equal(kind, expected[found].kind);
            assert_int_equal(length, strlen(expected[found].text));
            assert_memory_equal(stream + begin, expected[found].text, length);
            begin += length;
            found++;
        }
    }
    assert_int_equal(found, n);
}

static void test_values_with_anything_between(void **state)
{
    const Expected expected[] = {
        {FRAME_JSON, "{\"a\": [1, {}]}"},
        {FRAME_JSON, "{}"},
        {FRAME_JSON, " \r\n [{\"]}\": \"\\\"}\"}]"},
    };

    (void)state;
    for (size_t step = 1; step < 50; step++)
        check("{\"a\": [1, {}]}{} \r\n [{\"]}\": \"\\\"}\"}] \n", step, expected, 3);
}

static void test_junk_ends_with_its_line_or_at_a_bracket(void **state)
{
    const Expected expected[] = {
        {FRAME_JUNK, "junk"},
        {FRAME_JSON, "\n{}"},
        {FRAME_JUNK, "}more"},
        {FRAME_JSON, "{}"},
    };

    (void)state;
    check("junk\n{}}more{}", 100, expected, 4);
}

static void test_what_is_not_complete_is_no_frame(void **state)
{
    (void)state;
    check("{\"a\": \"}", 1, NULL, 0);
    check("[[[[[]]]]", 1, NULL, 0);
    check(" \n\t", 1, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_with_anything_between),
        cmocka_unit_test(test_junk_ends_with_its_line_or_at_a_bracket),
        cmocka_unit_test(test_what_is_not_complete_is_no_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
