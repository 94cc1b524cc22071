/* SPDX-License-Identifier: MIT */
#include "daemon/settings/key.h"

#include "daemon/settings/settings.h"
#include "daemon/settings/value.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define wrong(why, ...) (error_set(why, -EINVAL, __VA_ARGS__), false)

static void *field(const Key *key, void *settings)
{
    return (char *)settings + key->offset;
}

const Key *key_find(const KeyTable *table, const char *name)
{
    for (unsigned i = 0; i < table->n; i++)
        if (strcmp(table->keys[i].name, name) == 0)
            return &table->keys[i];
    return NULL;
}

bool key_is_name(const char *name, ErrorText *why)
{
    size_t length = strlen(name);

    if (length == 0 || length >= SETTINGS_NAME_SIZE)
        return wrong(why, "a name has 1 to %d bytes", SETTINGS_NAME_SIZE - 1);
    if (*name == '.' || *name == '-')
        return wrong(why, "a name begins with a letter, a digit or _");
    for (const char *c = name; *c; c++)
        if (!isascii((unsigned char)*c) || (!isalnum((unsigned char)*c) && !strchr("._-", *c)))
            return wrong(why, "a name has letters, digits, '.', '_' and '-' only");
    return true;
}

static bool store_number(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return value_number(text, key->min, key->max, field(key, settings), why);
}

static bool store_id(const Key *key, void *settings, const char *text, ErrorText *why)
{
    unsigned id;

    if (!value_number(text, key->min, key->max, &id, why))
        return false;
    *(int64_t *)field(key, settings) = id;
    return true;
}

static bool store_bool(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return value_bool(text, field(key, settings), why);
}

static bool store_size(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return value_size(text, field(key, settings), why);
}

static bool store_mode(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return value_mode(text, field(key, settings), why);
}

static bool store_user(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return value_user(text, field(key, settings), why);
}

static bool store_group(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return value_group(text, field(key, settings), why);
}

/* Several names with spaces or commas between them, and one at least: a list that is empty by
 * mistake would let everybody in. */
static bool store_list(const Key *key, void *settings, const char *text, ErrorText *why,
                       bool (*find)(const char *, unsigned *, ErrorText *))
{
    char words[1024], *rest = NULL;
    bool is_empty = true;

    if (strlen(text) >= sizeof(words))
        return wrong(why, "more than %zu bytes", sizeof(words) - 1);
    strcpy(words, text);
    for (char *word = strtok_r(words, " \t,", &rest); word; word = strtok_r(NULL, " \t,", &rest)) {
        unsigned id;
        ErrorText reason;

        if (!find(word, &id, &reason))
            return (error_set(why, reason.error, "%.64s: %.128s", word, reason.text), false);
        if (!policy_add(field(key, settings), id))
            return wrong(why, "too many (%d are possible)", POLICY_MAX);
        is_empty = false;
    }
    return !is_empty || wrong(why, "names nobody");
}

static bool store_users(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return store_list(key, settings, text, why, value_user);
}

static bool store_groups(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return store_list(key, settings, text, why, value_group);
}

/* Copies a path without what changes nothing, "//" and "/./": two of one socket are equal then. */
static void simplify(char *out, const char *path)
{
    while (*path) {
        if (path[0] == '/' && path[1] == '/')
            path++;
        else if (path[0] == '/' && path[1] == '.' && path[2] == '/')
            path += 2;
        else
            *out++ = *path++;
    }
    *out = '\0';
}

static bool store_path(const Key *key, void *settings, const char *text, ErrorText *why)
{
    if (*text != '/')
        return wrong(why, "not a path that begins with /");
    if (strlen(text) >= SETTINGS_PATH_SIZE)
        return wrong(why, "a socket's path has %zu bytes at most", SETTINGS_PATH_SIZE - 1);
    simplify(field(key, settings), text);
    return true;
}

static bool store_name(const Key *key, void *settings, const char *text, ErrorText *why)
{
    if (!key_is_name(text, why))
        return false;
    strcpy(field(key, settings), text);
    return true;
}

/* One key at most says what the memory is. */
static bool choose_memory(RegionSettings *settings, IvshmemServerMemory memory, const char *text,
                          ErrorText *why)
{
    if (*settings->memory_path)
        return wrong(why, "only one of shm-name, shm-dir and hugepages is possible");
    if (!*text || strlen(text) >= sizeof(settings->memory_path))
        return wrong(why, "1 to %zu bytes are possible", sizeof(settings->memory_path) - 1);
    strcpy(settings->memory_path, text);
    settings->config.memory = memory;
    return true;
}

static bool store_posix(const Key *key, void *settings, const char *text, ErrorText *why)
{
    const char *name = text + strspn(text, "/");

    (void)key;
    if (*text && (!*name || strchr(name, '/')))
        return wrong(why, "not the name of a shared memory object");
    return choose_memory(settings, IVSHMEM_SERVER_MEMORY_POSIX, text, why);
}

static bool store_directory(const Key *key, void *settings, const char *text, ErrorText *why)
{
    (void)key;
    if (*text != '/')
        return wrong(why, "not a path that begins with /");
    return choose_memory(settings, IVSHMEM_SERVER_MEMORY_DIRECTORY, text, why);
}

static bool store_huge_pages(const Key *key, void *settings, const char *text, ErrorText *why)
{
    return value_page_size(text, field(key, settings), why) &&
           choose_memory(settings, IVSHMEM_SERVER_MEMORY_MEMFD, "ivshmem", why);
}

#define OF_REGION(f)   offsetof(RegionSettings, f)
#define OF_LISTENER(f) offsetof(ListenerSettings, f)
#define NUMBER(f, low, high)                                                                       \
    .type = KEY_NUMBER, .store = store_number, .offset = (f), .min = (low), .max = (high)
#define BOOLEAN(f)         .type = KEY_BOOLEAN, .store = store_bool, .offset = (f)
#define TEXT(f, how)       .type = KEY_STRING, .store = (how), .offset = (f)
#define NAMED(f, how)      .type = KEY_NAME_OR_NUMBER, .store = (how), .offset = (f)
#define LIST(f, how)       .type = KEY_LIST, .store = (how), .offset = (f)
#define SAYS(what, is, to) .value = (what), .fallback = (is), .help = (to)

static const Key of_region[] = {
    {"size", NAMED(OF_REGION(config.shm_size), store_size),
     SAYS("SIZE", "4M", "bytes to share; K, M, G or T may follow; rounded up to a power of two")},
    {"vectors", NUMBER(OF_REGION(config.n_vectors), 1, IVSHMEM_SERVER_MAX_VECTORS),
     SAYS("N", "1", "interrupt vectors of each client, at most")},
    {"shm-name", TEXT(0, store_posix),
     SAYS("NAME", "a memfd", "share the POSIX shared memory object NAME")},
    {"shm-dir", TEXT(0, store_directory),
     SAYS("DIR", "a memfd", "share an unlinked file in DIR, such as a hugetlbfs mount")},
    {"hugepages", NAMED(OF_REGION(config.huge_page_size), store_huge_pages),
     SAYS("SIZE", "a memfd of ordinary pages", "share a memfd of huge pages of this size")},
    {"no-reserve", BOOLEAN(OF_REGION(config.no_reserve)),
     SAYS("YES", "no", "do not reserve the memory: whoever touches what is missing later dies")},
    {"max-clients", NUMBER(OF_REGION(config.max_clients), 1, 65536),
     SAYS("N", "a share of RLIMIT_NOFILE", "clients at once")},
    {"max-clients-per-user", NUMBER(OF_REGION(config.max_clients_per_uid), 1, 65536),
     SAYS("N", "no limit", "clients of one user at once")},
    {"setup-timeout", NUMBER(OF_REGION(config.setup_timeout_ms), 1, 86400000),
     SAYS("MS", "never", "disconnect a client that has not read its set-up after so long")},
    {"ids", NUMBER(OF_REGION(config.n_ids), 1, 65536),
     SAYS("N", "65536", "IDs are below this, for guests with small tables")},
};

static const Key of_listener[] = {
    {"socket", TEXT(OF_LISTENER(path), store_path), SAYS("PATH", "none", "where to listen")},
    {"libvirt-name", TEXT(OF_LISTENER(libvirt_name), store_name),
     SAYS("NAME", "none", "listen where libvirt looks for a <shmem> of this name")},
    {"mode", NAMED(OF_LISTENER(config.socket_mode), store_mode),
     SAYS("MODE", "0777 less the umask; 0660 with group", "mode of the socket")},
    {"owner", NAMED(OF_LISTENER(config.socket_uid), store_user),
     SAYS("USER", "who runs the server", "owner of the socket")},
    {"group", NAMED(OF_LISTENER(config.socket_gid), store_group),
     SAYS("GROUP", "who runs the server", "group of the socket")},
    {"allow-user", LIST(OF_LISTENER(policy.users), store_users),
     SAYS("USER", "everybody", "let these users connect, and nobody who is not named")},
    {"allow-group", LIST(OF_LISTENER(policy.groups), store_groups),
     SAYS("GROUP", "everybody", "let whoever is in these groups connect")},
    {"read-only-user", LIST(OF_LISTENER(policy.read_only), store_users),
     SAYS("USER", "nobody", "let these users connect, and only read the memory")},
    {"read-only", BOOLEAN(OF_LISTENER(config.read_only)),
     SAYS("YES", "no", "clients can only read the memory")},
    {"observers", BOOLEAN(OF_LISTENER(config.observers)),
     SAYS("YES", "no", "clients are told of all peers, and are no peers themselves")},
    {"reserved-id", .type = KEY_NUMBER, .store = store_id,
     .offset = OF_LISTENER(config.reserved_id), .max = 65535,
     SAYS("ID", "none", "the ID of this socket's one client, whenever it comes")},
    {"vectors", NUMBER(OF_LISTENER(config.n_vectors), 1, IVSHMEM_SERVER_MAX_VECTORS),
     SAYS("N", "the region's", "interrupt vectors of each client")},
    {"max-clients", NUMBER(OF_LISTENER(config.max_clients), 1, 65536),
     SAYS("N", "the region's", "clients at once, of this socket")},
    {"max-accepts", NUMBER(OF_LISTENER(config.max_accepts_per_s), 1, 1000000),
     SAYS("N", "no limit", "new clients in a second")},
    {"backlog", NUMBER(OF_LISTENER(config.backlog), 1, 65535),
     SAYS("N", "256", "connections that may wait to be accepted")},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const KeyTable region_keys = {of_region, COUNT(of_region)};
const KeyTable listener_keys = {of_listener, COUNT(of_listener)};

_Static_assert(COUNT(of_region) <= KEYS_MAX && COUNT(of_listener) <= KEYS_MAX, "see key.h");
