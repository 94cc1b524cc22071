/* SPDX-License-Identifier: MIT */
/* Settings as the manifest has them: all that they say, and nothing that only one process knows. */
#pragma once

#include "daemon/settings/settings.h"
#include "util/error.h"

#include <jansson.h>

/** A path is bytes, and JSON has none: each becomes the character of its number. */
json_t *settings_json_of_bytes(const char *bytes);

/** @return whether the value is such a text that fits */
bool settings_json_read_bytes(const json_t *value, char *out, size_t size);

/** @return the caller's; NULL if there is no memory. A region's listeners are left out. */
json_t *settings_json_of_region(const RegionSettings *settings);
json_t *settings_json_of_listener(const ListenerSettings *settings);

/** Reads what the functions above have made, into settings with the defaults. What the text does
 * not say stays. @return 0, or -EBADMSG with the reason */
int settings_json_read_region(json_t *text, RegionSettings *settings, ErrorText *error);
int settings_json_read_listener(json_t *text, ListenerSettings *settings, ErrorText *error);
