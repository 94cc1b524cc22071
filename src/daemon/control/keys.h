/* SPDX-License-Identifier: MIT */
/* Keys (key.h) as arguments of commands. */
#pragma once

#include "daemon/settings/key.h"

#include <jansson.h>

/** What a key's type is called, and what a value of it has to be. */
const char *keys_type(const Key *key);

/** Stores a value. @return 0 or -EINVAL with the reason */
int keys_store(const Key *key, void *settings, const json_t *value, ErrorText *error);

/** Stores those arguments that the table has. @return 0 or -EINVAL with the reason */
int keys_store_all(const KeyTable *table, void *settings, json_t *arguments, ErrorText *error);
