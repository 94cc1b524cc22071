/* SPDX-License-Identifier: MIT */
#include "daemon/settings/option-table.h"

#include "daemon/settings/names.h"
#include "daemon/settings/value.h"

#include <stdio.h>
#include <string.h>

static bool complain(const Option *option, const char *value, const char *why)
{
    (void)fprintf(stderr, "ivshmem-server: --%s '%s': %s\n", option->cli.name, value, why);
    return false;
}

static void *field(Options *options, const Option *option)
{
    return (char *)options + option->offset;
}

static bool store_config(Options *options, const Option *option, const char *value)
{
    (void)option;
    options->config = value ? value : "";
    return true;
}

static bool add_folder(Options *options, const Option *option, const char *value)
{
    if (*value != '/')
        return complain(option, value, "not a path that begins with /");
    if (options->n_listen_folders == OPTIONS_MAX_FOLDERS)
        return complain(option, value, "too many (16 are possible)");
    options->listen_folders[options->n_listen_folders++] = value;
    return true;
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
    ErrorText why;

    return value_number(value, option->min, option->max, field(options, option), &why) ||
           complain(option, value, why.text);
}

static bool store_size(Options *options, const Option *option, const char *value)
{
    ErrorText why;

    return value_size(value, &options->server.shm_size, &why) || complain(option, value, why.text);
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
    ErrorText why;
    uint64_t size;

    if (!value_page_size(value, &size, &why))
        return complain(option, value, why.text);
    choose_memory(options, IVSHMEM_SERVER_MEMORY_MEMFD, "ivshmem");
    options->server.huge_page_size = size;
    return true;
}

static bool store_mode(Options *options, const Option *option, const char *value)
{
    ErrorText why;

    return value_mode(value, &options->server.socket_mode, &why) ||
           complain(option, value, why.text);
}

static bool find_user(const Option *option, const char *value, uid_t *uid)
{
    ErrorText why;

    return value_user(value, uid, &why) || complain(option, value, why.text);
}

static bool find_group(const Option *option, const char *value, gid_t *gid)
{
    ErrorText why;

    return value_group(value, gid, &why) || complain(option, value, why.text);
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

#define TO(f)               offsetof(Options, f), 0, 0, false
#define TO_PROCESS(f)       offsetof(Options, f), 0, 0, true
#define NUMBER(f, min, max) store_number, offsetof(Options, server.f), min, max, false

const Option option_table[] = {
    {{'h', "help", NULL, "show this and exit"}, NULL, 0, 0, 0, true},
    {{0, "version", NULL, "show the version and exit"}, NULL, 0, 0, 0, true},
    {{'v', "verbose", NULL, "log every step (only with -F)"},
     store_flag,
     TO_PROCESS(server.verbose)},
    {{'F', "foreground", NULL, "do not become a daemon"}, store_flag, TO_PROCESS(foreground)},
    {{'p', "pidfile", "FILE", "where a daemon writes its process ID (" OPTIONS_DEFAULT_PIDFILE ")"},
     store_text,
     TO_PROCESS(pidfile)},
    {{'S', "socket", "PATH", "Unix socket to listen at (/tmp/ivshmem_socket)"},
     store_text,
     TO(server.unix_sock_path)},
    {{0, "mode", "MODE", "mode of the socket (0777 less the umask; 0660 with --group)"},
     store_mode,
     TO(server.socket_mode)},
    {{0, "owner", "USER", "owner of the socket (who runs us)"}, store_owner, TO(server.socket_uid)},
    {{0, "group", "GROUP", "group of the socket (who runs us)"},
     store_group,
     TO(server.socket_gid)},
    {{'M', "shm-name", "NAME", "share the POSIX shared memory object NAME (ivshmem)"},
     store_posix,
     0,
     0,
     0,
     false},
    {{'m', "shm-dir", "DIR", "share an unlinked file in DIR, such as a hugetlbfs mount"},
     store_directory,
     0,
     0,
     0,
     false},
    {{0, "memfd", NULL, "share a nameless memory that no client can resize"},
     store_memfd,
     0,
     0,
     0,
     false},
    {{0, "hugepages", "SIZE", "the same, of huge pages of this size, 2M or 1G"},
     store_huge_pages,
     0,
     0,
     0,
     false},
    {{'l', "size", "SIZE",
      "bytes to share; K, M, G or T may follow; rounded up to a power of two (4M)"},
     store_size,
     0,
     0,
     0,
     false},
    {{0, "no-reserve", NULL,
      "do not reserve the memory: whoever touches what is missing later dies"},
     store_flag,
     TO(server.no_reserve)},
    {{'n', "vectors", "N", "interrupt vectors of each client, 1 to 2048 (1)"},
     NUMBER(n_vectors, 1, IVSHMEM_SERVER_MAX_VECTORS)},
    {{0, "allow-user", "USER",
      "let this user connect, and nobody who is not named (everybody); adds up"},
     add_user,
     TO(policy.users)},
    {{0, "allow-group", "GROUP", "let whoever is in this group connect; adds up"},
     add_group,
     TO(policy.groups)},
    {{0, "read-only-user", "USER",
      "let this user connect to read only, and nobody who is not named; adds up"},
     add_user,
     TO(policy.read_only)},
    {{0, "max-clients", "N", "clients at once (as many as RLIMIT_NOFILE allows)"},
     NUMBER(max_clients, 1, 65536)},
    {{0, "max-clients-per-user", "N", "clients of one user at once (no limit)"},
     NUMBER(max_clients_per_uid, 1, 65536)},
    {{0, "max-accepts", "N", "new clients in a second (no limit)"},
     NUMBER(max_accepts_per_s, 1, 1000000)},
    {{0, "backlog", "N", "connections that may wait to be accepted (256)"},
     NUMBER(backlog, 1, 65535)},
    {{0, "setup-timeout", "MS",
      "disconnect a client that has not read its set-up after so long (never)"},
     NUMBER(setup_timeout_ms, 1, 86400000)},
    {{0, "user", "USER[:GROUP]", "become this user once everything is open (stay who we are)"},
     store_run_as,
     0,
     0,
     0,
     true},
    {{0, "sandbox", "MODE",
      "what a system call that no server needs does: kill, log or none (kill)"},
     store_sandbox,
     0,
     0,
     0,
     true},
    {{0, "config", "[PATH]",
      "serve the regions of this file, or of all files *.conf in this folder (/etc/ivshmem)"},
     store_config,
     0,
     0,
     0,
     true},
    {{0, "check-config", NULL, "say what is wrong with the configuration, and exit"},
     store_flag,
     TO_PROCESS(check_config)},
    {{0, "listen-folder", "DIR",
      "let commands make sockets in this folder while the server runs; adds up"},
     add_folder,
     0,
     0,
     0,
     true},
    {{0, "no-keeper", NULL, "be one process: if it is killed, every client's connection ends"},
     store_flag,
     TO_PROCESS(no_keeper)},
    {{0, "control", "PATH",
      "control socket to listen at (none; with --config /run/ivshmem/control)"},
     store_text,
     TO_PROCESS(control)},
    {{0, "control-group", "GROUP", "let this group ask and listen there (only who runs us)"},
     store_group,
     TO_PROCESS(control_gid)},
    {{0, "take-over", "PATH",
      "go on in place of the server with this control socket; no client notices"},
     store_text,
     TO_PROCESS(take_over)},
    {{0, "fd-store", NULL,
      "at SIGTERM, leave all clients to the service manager's store of descriptors"},
     store_flag,
     TO_PROCESS(fd_store)},
    {{0, "show-attach", NULL, "print how QEMU, libvirt and ivshmem-client attach, once it listens"},
     store_flag,
     TO(show_attach)},
};

const unsigned n_options = sizeof(option_table) / sizeof(option_table[0]);

_Static_assert(sizeof(option_table) / sizeof(option_table[0]) <= CLI_MAX_OPTIONS,
               "what cli.h can take");
