/* SPDX-License-Identifier: MIT */
#include "util/size.h"
#include "util/testing.h"

#include <errno.h>

typedef struct SizeCase {
    const char *text;
    int result;
    uint64_t value;
} SizeCase;

static void test_parse(void **state)
{
    static const SizeCase cases[] = {
        {"0", 0, 0},
        {"1", 0, 1},
        {"4096", 0, 4096},
        {"4K", 0, 4096},
        {"4k", 0, 4096},
        {"4M", 0, 4194304},
        {"3G", 0, UINT64_C(3) << 30},
        {"8g", 0, UINT64_C(8) << 30},
        {"1T", 0, UINT64_C(1) << 40},
        {"010", 0, 10}, /* decimal, whatever it starts with */
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"99999999999999999999999999", -ERANGE, 0},
        {"16777216T", -ERANGE, 0},
        {"16777215T", 0, UINT64_C(16777215) << 40},
        {"", -EINVAL, 0},
        {"M", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"4MB", -EINVAL, 0},
        {"4P", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"1.5G", -EINVAL, 0},
        {"99999999999999999999999999x", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 12345;

        assert_int_equal(size_parse(cases[i].text, &value), cases[i].result);
        assert_int_equal(value, cases[i].result ? 12345 : cases[i].value);
    }
}

static void test_round_up(void **state)
{
    uint64_t size = 7;

    (void)state;
    assert_int_equal(size_round_up(0, &size), -EINVAL);
    assert_int_equal(size_round_up((UINT64_C(1) << 63) + 1, &size), -ERANGE);
    assert_int_equal(size, 7);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t power = UINT64_C(1) << bit;

        assert_int_equal(size_round_up(power, &size), 0);
        assert_int_equal(size, power);
        if (bit >= 2) {
            assert_int_equal(size_round_up(power - 1, &size), 0);
            assert_int_equal(size, power);
        }
    }
}

static void test_format(void **state)
{
    static const SizeCase cases[] = {
        {"0", 0, 0},
        {"1", 0, 1},
        {"4K", 0, 4096},
        {"5000", 0, 5000},
        {"4M", 0, 4194304},
        {"1T", 0, UINT64_C(1) << 40},
        {"8388608T", 0, UINT64_C(1) << 63},
        {"18446744073709551615", 0, UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[SIZE_TEXT_MAX];

        size_format(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_count(void **state)
{
    uint64_t value = 99;

    (void)state;
    assert_int_equal(count_parse("0", 1, 2048, &value), -ERANGE);
    assert_int_equal(count_parse("2049", 1, 2048, &value), -ERANGE);
    assert_int_equal(count_parse("-1", 1, 2048, &value), -EINVAL);
    assert_int_equal(count_parse("abc", 1, 2048, &value), -EINVAL);
    assert_int_equal(count_parse("1K", 1, 2048, &value), -EINVAL);
    assert_int_equal(count_parse("", 0, 2048, &value), -EINVAL);
    assert_int_equal(count_parse("4294967296", 1, 2048, &value), -ERANGE);
    assert_int_equal(value, 99);
    assert_int_equal(count_parse("1", 1, 2048, &value), 0);
    assert_int_equal(value, 1);
    assert_int_equal(count_parse("2048", 1, 2048, &value), 0);
    assert_int_equal(value, 2048);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_round_up),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
