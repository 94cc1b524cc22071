/* SPDX-License-Identifier: MIT */
#include "daemon/settings/value.h"

#include "daemon/settings/names.h"
#include "util/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* For a return: the reason is set, the value is wrong. */
#define wrong(why, ...) (error_set(why, -EINVAL, __VA_ARGS__), false)

bool value_number(const char *text, uint64_t min, uint64_t max, unsigned *out, ErrorText *why)
{
    uint64_t number;

    if (count_parse(text, min, max, &number) < 0)
        return wrong(why, "not a number from %" PRIu64 " to %" PRIu64, min, max);
    *out = (unsigned)number;
    return true;
}

bool value_size(const char *text, uint64_t *out, ErrorText *why)
{
    uint64_t size;
    int r = size_parse(text, &size);

    if (r == 0 && size == 0)
        r = -ERANGE;
    if (r < 0)
        return wrong(why, "%s",
                     r == -ERANGE ? "out of range; 1 to 4194304T bytes are possible"
                                  : "not a size: digits, then nothing, K, M, G or T");
    *out = size;
    return true;
}

bool value_page_size(const char *text, uint64_t *out, ErrorText *why)
{
    uint64_t size, power;

    if (size_parse(text, &size) < 0 || size_round_up(size, &power) < 0 || power != size)
        return wrong(why, "not a page size, such as 2M or 1G");
    *out = size;
    return true;
}

bool value_mode(const char *text, int *out, ErrorText *why)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    if (*text < '0' || *text > '7' || *end || mode > 0777)
        return wrong(why, "not a mode, from 0 to 777 (octal)");
    *out = (int)mode;
    return true;
}

bool value_bool(const char *text, bool *out, ErrorText *why)
{
    bool yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;

    if (!yes && strcmp(text, "no") != 0 && strcmp(text, "false") != 0)
        return wrong(why, "neither yes nor no");
    *out = yes;
    return true;
}

bool value_user(const char *text, uid_t *out, ErrorText *why)
{
    int r = names_find_user(text, out);

    return r == 0 || (error_set(why, r, "%s", r == -ENOENT ? "no such user" : strerror(-r)), false);
}

bool value_group(const char *text, gid_t *out, ErrorText *why)
{
    int r = names_find_group(text, out);

    return r == 0 ||
           (error_set(why, r, "%s", r == -ENOENT ? "no such group" : strerror(-r)), false);
}
