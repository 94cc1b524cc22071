/* SPDX-License-Identifier: MIT */
#include "daemon/option-table.h"

#include "daemon/names.h"
#include "util/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool complain(const Option *option, const char *value, const char *why)
{
    (void)fprintf(stderr, "ivshmem-server: --%s '%s': %s\n", option->name, value, why);
    return false;
}

static void *field(Options *options, const Option *option)
{
    return (char *)options + option->offset;
}

static bool store_flag(Options *options, const Option *option, const char *value)
{
    (void)value;
    *(bool *)field(options, option) = true;
    return true;
}

static bool store_text(Options *options, const Option *option, const char *value)
{
    *(const char **)field(options, option) = value;
    return true;
}

static bool store_number(Options *options, const Option *option, const char *value)
{
    uint64_t number;
    char why[128];

    if (count_parse(value, option->min, option->max, &number) < 0) {
        (void)snprintf(why, sizeof(why), "not a number from %" PRIu64 " to %" PRIu64, option->min,
                       option->max);
        return complain(option, value, why);
    }
    *(unsigned *)field(options, option) = (unsigned)number;
    return true;
}

static bool store_size(Options *options, const Option *option, const char *value)
{
    uint64_t size;
    int r = size_parse(value, &size);

    if (r == 0 && size == 0)
        r = -ERANGE;
    if (r < 0)
        return complain(option, value,
                        r == -ERANGE ? "out of range; 1 to 4194304T bytes are possible"
                                     : "not a size: digits, then nothing, K, M, G or T");
    options->server.shm_size = size;
    return true;
}

static void choose_memory(Options *options, IvshmemServerMemory memory, const char *path)
{
    options->server.memory = memory;
    options->server.shm_path = path;
    options->server.huge_page_size = 0;
}

static bool store_posix(Options *options, const Option *option, const char *value)
{
    (void)option;
    choose_memory(options, IVSHMEM_SERVER_MEMORY_POSIX, value);
    return true;
}

static bool store_directory(Options *options, const Option *option, const char *value)
{
    (void)option;
    choose_memory(options, IVSHMEM_SERVER_MEMORY_DIRECTORY, value);
    return true;
}

static bool store_memfd(Options *options, const Option *option, const char *value)
{
    (void)option, (void)value;
    choose_memory(options, IVSHMEM_SERVER_MEMORY_MEMFD, "ivshmem");
    return true;
}

static bool store_huge_pages(Options *options, const Option *option, const char *value)
{
    uint64_t size, power;

    if (size_parse(value, &size) < 0 || size_round_up(size, &power) < 0 || power != size)
        return complain(option, value, "not a page size, such as 2M or 1G");
    choose_memory(options, IVSHMEM_SERVER_MEMORY_MEMFD, "ivshmem");
    options->server.huge_page_size = size;
    return true;
}

static bool store_mode(Options *options, const Option *option, const char *value)
{
    char *end;
    unsigned long mode = strtoul(value, &end, 8);

    if (*value < '0' || *value > '7' || *end || mode > 0777)
        return complain(option, value, "not a mode, from 0 to 777 (octal)");
    options->server.socket_mode = (int)mode;
    return true;
}

static bool find_user(const Option *option, const char *value, uid_t *uid)
{
    int r = names_find_user(value, uid);

    return r == 0 || complain(option, value, r == -ENOENT ? "no such user" : strerror(-r));
}

static bool find_group(const Option *option, const char *value, gid_t *gid)
{
    int r = names_find_group(value, gid);

    return r == 0 || complain(option, value, r == -ENOENT ? "no such group" : strerror(-r));
}

static bool store_owner(Options *options, const Option *option, const char *value)
{
    return find_user(option, value, field(options, option));
}

static bool store_group(Options *options, const Option *option, const char *value)
{
    return find_group(option, value, field(options, option));
}

static bool add_user(Options *options, const Option *option, const char *value)
{
    uid_t uid;

    return find_user(option, value, &uid) &&
           (policy_add(field(options, option), uid) ||
            complain(option, value, "too many (64 are possible)"));
}

static bool add_group(Options *options, const Option *option, const char *value)
{
    gid_t gid;

    return find_group(option, value, &gid) &&
           (policy_add(field(options, option), gid) ||
            complain(option, value, "too many (64 are possible)"));
}

/* USER or USER:GROUP */
static bool store_run_as(Options *options, const Option *option, const char *value)
{
    const char *colon = strchr(value, ':');
    char user[256];

    if (!colon) {
        if (!find_user(option, value, &options->run_uid))
            return false;
        options->run_gid = names_group_of(options->run_uid);
        return options->run_gid != (gid_t)-1 ||
               complain(option, value, "its group is unknown: use USER:GROUP");
    }
    if (colon - value >= (ptrdiff_t)sizeof(user))
        return complain(option, value, "no such user");
    memcpy(user, value, (size_t)(colon - value));
    user[colon - value] = '\0';
    return find_user(option, user, &options->run_uid) &&
           find_group(option, colon + 1, &options->run_gid);
}

static bool store_sandbox(Options *options, const Option *option, const char *value)
{
    static const char *const modes[] = {
        [SANDBOX_KILL] = "kill",
        [SANDBOX_LOG] = "log",
        [SANDBOX_NONE] = "none",
    };

    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(value, modes[i]) == 0) {
            options->sandbox = (SandboxMode)i;
            return true;
        }
    }
    return complain(option, value, "not one of kill, log, none");
}

#define TO(f)               offsetof(Options, f), 0, 0
#define NUMBER(f, min, max) store_number, offsetof(Options, server.f), min, max

const Option option_table[] = {
    {'h', "help", NULL, NULL, 0, 0, 0, "show this and exit"},
    {0, "version", NULL, NULL, 0, 0, 0, "show the version and exit"},
    {'v', "verbose", NULL, store_flag, TO(server.verbose), "log every step (only with -F)"},
    {'F', "foreground", NULL, store_flag, TO(foreground), "do not become a daemon"},
    {'p', "pidfile", "FILE", store_text, TO(pidfile),
     "where a daemon writes its process ID (" OPTIONS_DEFAULT_PIDFILE ")"},
    {'S', "socket", "PATH", store_text, TO(server.unix_sock_path),
     "Unix socket to listen at (/tmp/ivshmem_socket)"},
    {0, "mode", "MODE", store_mode, TO(server.socket_mode),
     "mode of the socket (0777 less the umask; 0660 with --group)"},
    {0, "owner", "USER", store_owner, TO(server.socket_uid), "owner of the socket (who runs us)"},
    {0, "group", "GROUP", store_group, TO(server.socket_gid), "group of the socket (who runs us)"},
    {'M', "shm-name", "NAME", store_posix, 0, 0, 0,
     "share the POSIX shared memory object NAME (ivshmem)"},
    {'m', "shm-dir", "DIR", store_directory, 0, 0, 0,
     "share an unlinked file in DIR, such as a hugetlbfs mount"},
    {0, "memfd", NULL, store_memfd, 0, 0, 0, "share a nameless memory that no client can resize"},
    {0, "hugepages", "SIZE", store_huge_pages, 0, 0, 0,
     "the same, of huge pages of this size, 2M or 1G"},
    {'l', "size", "SIZE", store_size, 0, 0, 0,
     "bytes to share; K, M, G or T may follow; rounded up to a power of two (4M)"},
    {0, "no-reserve", NULL, store_flag, TO(server.no_reserve),
     "do not reserve the memory: whoever touches what is missing later dies"},
    {'n', "vectors", "N", NUMBER(n_vectors, 1, IVSHMEM_SERVER_MAX_VECTORS),
     "interrupt vectors of each client, 1 to 2048 (1)"},
    {0, "allow-user", "USER", add_user, TO(policy.users),
     "let this user connect, and nobody who is not named (everybody); adds up"},
    {0, "allow-group", "GROUP", add_group, TO(policy.groups),
     "let whoever is in this group connect; adds up"},
    {0, "read-only-user", "USER", add_user, TO(policy.read_only),
     "let this user connect, and only read the memory; adds up"},
    {0, "max-clients", "N", NUMBER(max_clients, 1, 65536),
     "clients at once (as many as RLIMIT_NOFILE allows)"},
    {0, "max-clients-per-user", "N", NUMBER(max_clients_per_uid, 1, 65536),
     "clients of one user at once (no limit)"},
    {0, "max-accepts", "N", NUMBER(max_accepts_per_s, 1, 1000000),
     "new clients in a second (no limit)"},
    {0, "backlog", "N", NUMBER(backlog, 1, 65535),
     "connections that may wait to be accepted (4096)"},
    {0, "setup-timeout", "MS", NUMBER(setup_timeout_ms, 1, 86400000),
     "disconnect a client that has not read its set-up after so long (never)"},
    {0, "user", "USER[:GROUP]", store_run_as, 0, 0, 0,
     "become this user once everything is open (stay who we are)"},
    {0, "sandbox", "MODE", store_sandbox, 0, 0, 0,
     "what a system call that no server needs does: kill, log or none (kill)"},
    {0, "show-attach", NULL, store_flag, TO(show_attach),
     "print how QEMU, libvirt and ivshmem-client attach, once it listens"},
};

const unsigned n_options = sizeof(option_table) / sizeof(option_table[0]);

_Static_assert(sizeof(option_table) / sizeof(option_table[0]) <= OPTIONS_MAX, "raise OPTIONS_MAX");
