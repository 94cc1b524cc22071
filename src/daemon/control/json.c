/* SPDX-License-Identifier: MIT */
#include "daemon/control/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char *json_line(const json_t *value, size_t *length)
{
    char *line = json_dumps(value, JSON_COMPACT), *longer;

    if (!line)
        return NULL;
    *length = strlen(line) + 2;
    longer = realloc(line, *length + 1);
    if (!longer) {
        free(line);
        return NULL;
    }
    strcpy(longer + *length - 2, "\r\n");
    return longer;
}

json_t *json_text(const char *text)
{
    json_t *value = json_string(text);
    char *copy;

    if (value || !(copy = strdup(text)))
        return value;
    for (char *c = copy; *c; c++)
        if (*c & 0x80)
            *c = '?';
    value = json_string(copy);
    free(copy);
    return value;
}

json_t *json_error(const char *class, const char *description)
{
    return json_pack("{s:{s:s,s:o}}", "error", "class", class, "desc", json_text(description));
}

json_t *json_time(int64_t ns)
{
    return json_pack("{s:I,s:I}", "seconds", (json_int_t)(ns / 1000000000), "microseconds",
                     (json_int_t)(ns % 1000000000 / 1000));
}

json_t *json_event(const char *name, json_t *data)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return json_pack("{s:s,s:o,s:o}", "event", name, "data", data, "timestamp",
                     json_time(now.tv_sec * INT64_C(1000000000) + now.tv_nsec));
}

json_t *json_version(void)
{
    int major = 0, minor = 0, micro = 0;

    (void)sscanf(IVSHMEM_VERSION, "%d.%d.%d", &major, &minor, &micro);
    return json_pack("{s:{s:i,s:i,s:i},s:s}", "qemu", "major", major, "minor", minor, "micro",
                     micro, "package", "ivshmem-server " IVSHMEM_VERSION);
}
