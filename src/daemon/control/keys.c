/* SPDX-License-Identifier: MIT */
#include "daemon/control/keys.h"

#include <errno.h>
#include <string.h>

#define TEXT_SIZE 4096 /* bytes of a value, as it would stand in a file */

static const char *const types[] = {
    [KEY_STRING] = "string",   [KEY_NUMBER] = "integer",
    [KEY_BOOLEAN] = "boolean", [KEY_NAME_OR_NUMBER] = "string or integer",
    [KEY_LIST] = "array",
};

const char *keys_type(const Key *key)
{
    return types[key->type];
}

/* A string or number as text. False if it is something else, or too long. */
static bool print_scalar(const json_t *value, char text[static TEXT_SIZE])
{
    int n = -1;

    if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
        n = snprintf(text, TEXT_SIZE, "%s", json_string_value(value));
    else if (json_is_integer(value))
        n = snprintf(text, TEXT_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return n >= 0 && n < TEXT_SIZE;
}

static bool is_of_type(const Key *key, const json_t *value)
{
    switch (key->type) {
    case KEY_STRING:
        return json_is_string(value);
    case KEY_NUMBER:
        return json_is_integer(value);
    case KEY_BOOLEAN:
        return json_is_boolean(value);
    case KEY_NAME_OR_NUMBER:
        return json_is_string(value) || json_is_integer(value);
    case KEY_LIST:
        return json_is_array(value);
    }
    return false;
}

static int store_scalar(const Key *key, void *settings, const json_t *value, ErrorText *error)
{
    char text[TEXT_SIZE];
    ErrorText why;

    if (json_is_boolean(value))
        strcpy(text, json_is_true(value) ? "yes" : "no");
    else if (!print_scalar(value, text))
        return error_set(error, -EINVAL, "argument '%s' is neither text nor number, or too long",
                         key->name);
    if (!key->store(key, settings, text, &why))
        return error_set(error, -EINVAL, "argument '%s' '%.128s': %.256s", key->name, text,
                         why.text);
    return 0;
}

int keys_store(const Key *key, void *settings, const json_t *value, ErrorText *error)
{
    int r = 0;

    if (!is_of_type(key, value))
        return error_set(error, -EINVAL, "argument '%s' is not of the type %s", key->name,
                         keys_type(key));
    if (key->type != KEY_LIST)
        return store_scalar(key, settings, value, error);
    if (json_array_size(value) == 0) /* which would let everybody in */
        return error_set(error, -EINVAL, "argument '%s' names nobody", key->name);
    for (size_t i = 0; r == 0 && i < json_array_size(value); i++)
        r = store_scalar(key, settings, json_array_get(value, i), error);
    return r;
}

int keys_store_all(const KeyTable *table, void *settings, json_t *arguments, ErrorText *error)
{
    const char *name;
    json_t *value;
    int r = 0;

    json_object_foreach(arguments, name, value)
    {
        const Key *key = key_find(table, name);

        if (key && (r = keys_store(key, settings, value, error)) < 0)
            return r;
    }
    return r;
}
