/* SPDX-License-Identifier: MIT */
/* The forms that QMP's messages have. What these functions give belongs to the caller; they give
 * NULL when there is no memory, which jansson's functions take as an argument. */
#pragma once

#include <jansson.h>
#include <stdint.h>

/** A message as it is sent: one line. To be freed. */
char *json_line(const json_t *value, size_t *length);

json_t *json_error(const char *class, const char *description);

/** Takes `data` over. */
json_t *json_event(const char *name, json_t *data);

/** A string from anywhere: JSON is UTF-8, and what is not becomes question marks. */
json_t *json_text(const char *text);

/** A point in time, from ns since 1970. */
json_t *json_time(int64_t ns);

/** Ours, in the form in which QMP's clients expect QEMU's. */
json_t *json_version(void);
