/* SPDX-License-Identifier: MIT */
/*
 * Sizes and counts from any text, held against the same grammar read with 128 bits, one character
 * at a time, from the other side. Of an input, the first 16 bytes are a count's limits, the rest is
 * the text.
 */
#include "util/size.h"

#include "fuzz.h"
#include "region/region.h"

#include <errno.h>

__extension__ typedef unsigned __int128 Wide;

#define WIDE_MAX ((Wide)1 << 100)

/* Digits, a number; -1 if it is not all digits. */
static int read_digits(const char *text, size_t n, Wide *number)
{
    *number = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        if (*number < WIDE_MAX)
            *number = *number * 10 + (unsigned)(text[i] - '0');
    }
    return n == 0 ? -1 : 0;
}

static int read_size(const char *text, Wide *size)
{
    size_t n = strlen(text);
    unsigned shift = 0;
    const char *unit = n ? strchr("kKmMgGtT", text[n - 1]) : NULL;

    if (unit) {
        n--;
        shift = 10 * (unsigned)((unit - "kKmMgGtT") / 2 + 1);
    }
    if (read_digits(text, n, size) < 0)
        return -EINVAL;
    *size = *size < WIDE_MAX >> shift ? *size << shift : WIDE_MAX;
    return *size > UINT64_MAX ? -ERANGE : 0;
}

static void check_size(const char *text)
{
    Wide expected;
    uint64_t size = 12345;
    int r = read_size(text, &expected);

    RULE(size_parse(text, &size) == r);
    RULE(size == (r < 0 ? 12345 : (uint64_t)expected));
}

static void check_count(const char *text, uint64_t min, uint64_t max)
{
    Wide expected;
    uint64_t count = 12345;
    int r = read_digits(text, strlen(text), &expected) < 0 ? -EINVAL
            : expected < min || expected > max             ? -ERANGE
                                                           : 0;

    RULE(count_parse(text, min, max, &count) == r);
    RULE(count == (r < 0 ? 12345 : (uint64_t)expected));
}

/* What is written for a size is read as that size. */
static void check_format(uint64_t size)
{
    char text[SIZE_TEXT_MAX];
    uint64_t again;

    size_format(size, text);
    RULE(memchr(text, 0, sizeof(text)));
    RULE(size_parse(text, &again) == 0 && again == size);
}

static void check_rounding(uint64_t size)
{
    uint64_t power = 12345;
    int r = size_round_up(size, &power);

    if (size == 0 || size > UINT64_C(1) << 63) {
        RULE(r == (size == 0 ? -EINVAL : -ERANGE) && power == 12345);
    } else {
        RULE(r == 0 && power >= size && power / 2 < size && (power & (power - 1)) == 0);
    }
    r = region_size(size, &power);
    RULE(r < 0 ||
         (power >= size && power >= 4096 && power <= INT64_MAX && (power & (power - 1)) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    Input input = {bytes, n};
    uint64_t min = input_number(&input, 8), max = input_number(&input, 8);
    char *text = strndup((const char *)input.bytes, input.n);

    RULE(text);
    check_size(text);
    check_count(text, min < max ? min : max, min < max ? max : min);
    check_format(min);
    check_rounding(min);
    free(text);
    return 0;
}
