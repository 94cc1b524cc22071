/* SPDX-License-Identifier: MIT */
#include "util/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char suffixes[] = "KMGT"; /* each 1024 times the one before */

/* Reads digits up to the first other character, which *end is set to. */
static int parse_digits(const char *text, const char **end, uint64_t *out)
{
    uint64_t value = 0;
    bool overflow = false;

    *end = text;
    for (; **end >= '0' && **end <= '9'; (*end)++)
        overflow |= __builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(**end - '0'), &value);
    if (*end == text)
        return -EINVAL;
    if (overflow)
        return -ERANGE;
    *out = value;
    return 0;
}

int size_parse(const char *text, uint64_t *out)
{
    const char *end;
    uint64_t value = 0;
    size_t n_times = 0;
    int r = parse_digits(text, &end, &value);

    if (r == -EINVAL)
        return r;
    if (*end) {
        char upper = (char)(*end >= 'a' && *end <= 'z' ? *end - 'a' + 'A' : *end);
        const char *suffix = strchr(suffixes, upper);

        if (!suffix || end[1])
            return -EINVAL;
        n_times = (size_t)(suffix - suffixes) + 1;
    }
    if (r < 0)
        return r;
    for (; n_times > 0; n_times--)
        if (__builtin_mul_overflow(value, 1024, &value))
            return -ERANGE;
    *out = value;
    return 0;
}

int size_round_up(uint64_t size, uint64_t *out)
{
    if (size == 0)
        return -EINVAL;
    if (size > UINT64_C(1) << 63)
        return -ERANGE;
    *out = size == 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(size - 1));
    return 0;
}

void size_format(uint64_t size, char text[static SIZE_TEXT_MAX])
{
    int n = -1;

    while (size && size % 1024 == 0 && n + 1 < (int)strlen(suffixes)) {
        size /= 1024;
        n++;
    }
    if (n < 0)
        (void)snprintf(text, SIZE_TEXT_MAX, "%" PRIu64, size);
    else
        (void)snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 "%c", size, suffixes[n]);
}

int count_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    const char *end;
    uint64_t value = 0;
    int r = parse_digits(text, &end, &value);

    if (r == -EINVAL || *end)
        return -EINVAL;
    if (r < 0 || value < min || value > max)
        return -ERANGE;
    *out = value;
    return 0;
}
