/* SPDX-License-Identifier: MIT */
/*
 * What can be told of a region or a listener, by name: the keys of configuration files and the
 * arguments of commands. One table of each, from which help, manual tests and errors come.
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How a value is written in JSON. In a file, everything is text. */
typedef enum KeyType {
    KEY_STRING,
    KEY_NUMBER,
    KEY_BOOLEAN,
    KEY_NAME_OR_NUMBER, /* a size or mode, a user or group */
    KEY_LIST,           /* of users or groups; in a file, with spaces between them, and adding up */
} KeyType;

typedef struct Key Key;

/** Stores a value in the settings. False if it is wrong: why says the reason. */
typedef bool KeyStore(const Key *key, void *settings, const char *text, ErrorText *why);

struct Key {
    const char *name;
    const char *value; /* what it is called in the help */
    KeyType type;
    KeyStore *store;
    size_t offset;     /* in the settings, of what is stored */
    uint64_t min, max; /* of a number */
    const char *fallback;
    const char *help;
};

typedef struct KeyTable {
    const Key *keys;
    unsigned n;
} KeyTable;

#define KEYS_MAX 32 /* in a table */

extern const KeyTable region_keys;   /* of RegionSettings */
extern const KeyTable listener_keys; /* of ListenerSettings */

const Key *key_find(const KeyTable *table, const char *name);

/** Whether a region or listener can be called so: letters, digits, ".", "_" and "-", no dot or
 * hyphen first. */
bool key_is_name(const char *name, ErrorText *why);
