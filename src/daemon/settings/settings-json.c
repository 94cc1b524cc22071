/* SPDX-License-Identifier: MIT */
#include "daemon/settings/settings-json.h"

#include <errno.h>
#include <string.h>

/* One line for each thing that is kept: its name in the text, and where it is in the settings. */
typedef enum FieldType {
    FIELD_TEXT, /* bytes with a NUL */
    FIELD_BOOL,
    FIELD_INT,
    FIELD_UNSIGNED,
    FIELD_U64,
    FIELD_I64,
    FIELD_IDS, /* a PolicyList */
} FieldType;

typedef struct Field {
    const char *name;
    FieldType type;
    size_t offset;
    size_t size;
} Field;

#define FIELD(type, name, of, field)                                                               \
    {                                                                                              \
        name, type, offsetof(of, field), sizeof(((of *)0)->field)                                  \
    }
#define REGION(type, name, field)   FIELD(type, name, RegionSettings, field)
#define LISTENER(type, name, field) FIELD(type, name, ListenerSettings, field)

_Static_assert(sizeof(IvshmemServerMemory) == sizeof(int) && sizeof(uid_t) == sizeof(unsigned) &&
                   sizeof(gid_t) == sizeof(unsigned),
               "they are read as those");

static const Field of_region[] = {
    REGION(FIELD_TEXT, "name", name),
    REGION(FIELD_TEXT, "memory-path", memory_path),
    REGION(FIELD_TEXT, "file", file),
    REGION(FIELD_BOOL, "has-share", has_share),
    REGION(FIELD_UNSIGNED, "memory", config.memory),
    REGION(FIELD_U64, "size", config.shm_size),
    REGION(FIELD_BOOL, "no-reserve", config.no_reserve),
    REGION(FIELD_U64, "hugepages", config.huge_page_size),
    REGION(FIELD_UNSIGNED, "memory-owner", config.memory_uid),
    REGION(FIELD_UNSIGNED, "vectors", config.n_vectors),
    REGION(FIELD_UNSIGNED, "ids", config.n_ids),
    REGION(FIELD_UNSIGNED, "max-clients", config.max_clients),
    REGION(FIELD_UNSIGNED, "max-clients-per-user", config.max_clients_per_uid),
    REGION(FIELD_UNSIGNED, "setup-timeout", config.setup_timeout_ms),
};

static const Field of_listener[] = {
    LISTENER(FIELD_INT, "index", index),
    LISTENER(FIELD_TEXT, "name", name),
    LISTENER(FIELD_TEXT, "path", path),
    LISTENER(FIELD_TEXT, "libvirt-name", libvirt_name),
    LISTENER(FIELD_BOOL, "is-configured", is_configured),
    LISTENER(FIELD_INT, "mode", config.socket_mode),
    LISTENER(FIELD_UNSIGNED, "owner", config.socket_uid),
    LISTENER(FIELD_UNSIGNED, "group", config.socket_gid),
    LISTENER(FIELD_UNSIGNED, "backlog", config.backlog),
    LISTENER(FIELD_UNSIGNED, "vectors", config.n_vectors),
    LISTENER(FIELD_UNSIGNED, "max-clients", config.max_clients),
    LISTENER(FIELD_UNSIGNED, "max-accepts", config.max_accepts_per_s),
    LISTENER(FIELD_BOOL, "read-only", config.read_only),
    LISTENER(FIELD_BOOL, "observers", config.observers),
    LISTENER(FIELD_I64, "reserved-id", config.reserved_id),
    LISTENER(FIELD_IDS, "allow-user", policy.users),
    LISTENER(FIELD_IDS, "allow-group", policy.groups),
    LISTENER(FIELD_IDS, "read-only-user", policy.read_only),
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

json_t *settings_json_of_bytes(const char *bytes)
{
    char text[2 * PATH_MAX], *end = text;

    for (; *bytes; bytes++) {
        unsigned char byte = (unsigned char)*bytes;

        if (byte >= 0x80)
            *end++ = (char)(0xc0 | byte >> 6);
        *end++ = (char)(byte < 0x80 ? byte : 0x80 | (byte & 0x3f));
    }
    *end = '\0';
    return json_string(text);
}

bool settings_json_read_bytes(const json_t *value, char *out, size_t size)
{
    const unsigned char *text = (const unsigned char *)json_string_value(value);
    size_t n = 0;

    for (; text && *text && n + 1 < size; text++) {
        if (*text < 0x80) {
            out[n++] = (char)*text;
        } else if ((*text & 0xfc) == 0xc0) { /* U+0080 to U+00FF: two bytes */
            out[n++] = (char)((*text & 3) << 6 | (text[1] & 0x3f));
            text++;
        } else {
            break;
        }
    }
    out[n] = '\0';
    return text && !*text;
}

static json_t *ids(const PolicyList *list)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < list->n; i++)
        if (json_array_append_new(array, json_integer(list->ids[i])) < 0) {
            json_decref(array);
            return NULL; /* a list that is shorter could let everybody in */
        }
    return array;
}

static bool read_ids(const json_t *value, PolicyList *list)
{
    const json_t *id;
    size_t i;

    if (!json_is_array(value))
        return false;
    json_array_foreach(value, i, id)
    {
        json_int_t number = json_integer_value(id);

        if (!json_is_integer(id) || number < 0 || number > UINT32_MAX ||
            !policy_add(list, (unsigned)number))
            return false;
    }
    return true;
}

static json_t *write_field(const Field *field, const void *settings)
{
    const void *at = (const char *)settings + field->offset;

    switch (field->type) {
    case FIELD_TEXT:
        return settings_json_of_bytes(at);
    case FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case FIELD_INT:
        return json_integer(*(const int *)at);
    case FIELD_UNSIGNED:
        return json_integer(*(const unsigned *)at);
    case FIELD_U64:
        return json_integer((json_int_t) * (const uint64_t *)at);
    case FIELD_I64:
        return json_integer(*(const int64_t *)at);
    case FIELD_IDS:
        return ids(at);
    }
    return NULL;
}

static bool read_field(const Field *field, const json_t *value, void *settings)
{
    void *at = (char *)settings + field->offset;
    json_int_t number = json_integer_value(value);

    switch (field->type) {
    case FIELD_TEXT:
        return settings_json_read_bytes(value, at, field->size);
    case FIELD_BOOL:
        *(bool *)at = json_is_true(value);
        return json_is_boolean(value);
    case FIELD_INT:
        *(int *)at = (int)number;
        return json_is_integer(value) && number >= INT32_MIN && number <= INT32_MAX;
    case FIELD_UNSIGNED:
        *(unsigned *)at = (unsigned)number;
        return json_is_integer(value) && number >= 0 && number <= UINT32_MAX;
    case FIELD_U64:
        *(uint64_t *)at = (uint64_t)number;
        return json_is_integer(value);
    case FIELD_I64:
        *(int64_t *)at = number;
        return json_is_integer(value);
    case FIELD_IDS:
        return read_ids(value, at);
    }
    return false;
}

static json_t *write(const Field *fields, size_t n, const void *settings)
{
    json_t *text = json_object();

    for (size_t i = 0; i < n; i++)
        if (json_object_set_new(text, fields[i].name, write_field(&fields[i], settings)) < 0) {
            json_decref(text);
            return NULL;
        }
    return text;
}

static int read(const Field *fields, size_t n, const json_t *text, void *settings, ErrorText *error)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(text, fields[i].name);

        if (value && !read_field(&fields[i], value, settings))
            return error_set(error, -EBADMSG, "the manifest is damaged: '%s' is wrong",
                             fields[i].name);
    }
    return 0;
}

json_t *settings_json_of_region(const RegionSettings *settings)
{
    return write(of_region, COUNT(of_region), settings);
}

json_t *settings_json_of_listener(const ListenerSettings *settings)
{
    return write(of_listener, COUNT(of_listener), settings);
}

int settings_json_read_region(json_t *text, RegionSettings *settings, ErrorText *error)
{
    int r = read(of_region, COUNT(of_region), text, settings, error);

    region_settings_link(settings);
    return r;
}

int settings_json_read_listener(json_t *text, ListenerSettings *settings, ErrorText *error)
{
    int r = read(of_listener, COUNT(of_listener), text, settings, error);

    listener_settings_link(settings);
    return r;
}
