/* SPDX-License-Identifier: MIT */
#include "daemon/options.h"

#include "util/size.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct Option Option;

/* Stores an option's value. False if it is wrong; why has been shown then. */
typedef bool Store(Options *options, const Option *option, const char *value);

struct Option {
    char letter; /* 0: only the long form */
    const char *name;
    const char *value; /* what it is called in the help; NULL: the option takes none */
    Store *store;
    uint64_t min, max; /* of a number */
    size_t offset;     /* in Options, of a number (an unsigned) */
    const char *help;
};

static bool complain(const Option *option, const char *value, const char *why)
{
    (void)fprintf(stderr, "ivshmem-server: --%s '%s': %s\n", option->name, value, why);
    return false;
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
    *(unsigned *)(void *)((char *)options + option->offset) = (unsigned)number;
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

static bool store_socket(Options *options, const Option *option, const char *value)
{
    (void)option;
    options->server.unix_sock_path = value;
    return true;
}

static bool store_memory(Options *options, IvshmemServerMemory memory, const char *path)
{
    options->server.memory = memory;
    options->server.shm_path = path;
    return true;
}

static bool store_posix(Options *options, const Option *option, const char *value)
{
    (void)option;
    return store_memory(options, IVSHMEM_SERVER_MEMORY_POSIX, value);
}

static bool store_directory(Options *options, const Option *option, const char *value)
{
    (void)option;
    return store_memory(options, IVSHMEM_SERVER_MEMORY_DIRECTORY, value);
}

static bool store_memfd(Options *options, const Option *option, const char *value)
{
    (void)option, (void)value;
    return store_memory(options, IVSHMEM_SERVER_MEMORY_MEMFD, "ivshmem");
}

static bool store_pidfile(Options *options, const Option *option, const char *value)
{
    (void)option;
    options->pidfile = value;
    return true;
}

static bool store_foreground(Options *options, const Option *option, const char *value)
{
    (void)option, (void)value;
    options->foreground = true;
    return true;
}

static bool store_verbose(Options *options, const Option *option, const char *value)
{
    (void)option, (void)value;
    options->server.verbose = true;
    return true;
}

static bool store_show_attach(Options *options, const Option *option, const char *value)
{
    (void)option, (void)value;
    options->show_attach = true;
    return true;
}

#define NUMBER(field, min, max) store_number, min, max, offsetof(Options, server.field)

/* The help shows them in this order. -h and --version have no store. */
static const Option table[] = {
    {'h', "help", NULL, NULL, 0, 0, 0, "show this and exit"},
    {0, "version", NULL, NULL, 0, 0, 0, "show the version and exit"},
    {'v', "verbose", NULL, store_verbose, 0, 0, 0, "log every step (only with -F)"},
    {'F', "foreground", NULL, store_foreground, 0, 0, 0, "do not become a daemon"},
    {'p', "pidfile", "FILE", store_pidfile, 0, 0, 0,
     "where a daemon writes its process ID (" OPTIONS_DEFAULT_PIDFILE ")"},
    {'S', "socket", "PATH", store_socket, 0, 0, 0,
     "Unix socket to listen at (/tmp/ivshmem_socket)"},
    {'M', "shm-name", "NAME", store_posix, 0, 0, 0,
     "share the POSIX shared memory object NAME (ivshmem)"},
    {'m', "shm-dir", "DIR", store_directory, 0, 0, 0,
     "share an unlinked file in DIR, such as a hugetlbfs mount"},
    {0, "memfd", NULL, store_memfd, 0, 0, 0, "share a nameless memory that no client can resize"},
    {'l', "size", "SIZE", store_size, 0, 0, 0,
     "bytes to share; K, M, G or T may follow; rounded up to a power of two (4M)"},
    {'n', "vectors", "N", NUMBER(n_vectors, 1, IVSHMEM_SERVER_MAX_VECTORS),
     "interrupt vectors of each client, 1 to 2048 (1)"},
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
    {0, "show-attach", NULL, store_show_attach, 0, 0, 0,
     "print how QEMU, libvirt and ivshmem-client attach, once it listens"},
};

#define N_OPTIONS (sizeof(table) / sizeof(table[0]))

static void show_help(void)
{
    (void)puts("Usage: ivshmem-server [OPTION]...\n"
               "Share memory and doorbells between QEMU guests and host processes.\n");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const Option *option = &table[i];
        char forms[64];

        (void)snprintf(forms, sizeof(forms), "%c%c%s --%s%s%s", option->letter ? '-' : ' ',
                       option->letter ? option->letter : ' ', option->letter ? "," : " ",
                       option->name, option->value ? "=" : "", option->value ? option->value : "");
        (void)printf("  %-30s %s\n", forms, option->help);
    }
}

/* What getopt_long wants. A long option's value is its index in the table, past all letters. */
#define LONG_ONLY 256

static void prepare_getopt(char *letters, struct option *longs)
{
    *letters++ = ':';
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const Option *option = &table[i];

        longs[i] = (struct option){option->name, option->value ? required_argument : no_argument,
                                   NULL, LONG_ONLY + (int)i};
        if (option->letter) {
            *letters++ = option->letter;
            if (option->value)
                *letters++ = ':';
        }
    }
    longs[N_OPTIONS] = (struct option){0};
    *letters = '\0';
}

static const Option *find(int code)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (code == LONG_ONLY + (int)i || (table[i].letter && code == table[i].letter))
            return &table[i];
    return NULL;
}

static OptionsResult wrong_option(char **argv, bool lacks_value)
{
    char letter[3] = {'-', (char)optopt, '\0'};
    bool is_letter = optopt > 0 && optopt < LONG_ONLY;

    (void)fprintf(stderr, "ivshmem-server: %s %s (see --help)\n",
                  lacks_value ? "a value is missing behind" : "unknown option",
                  is_letter ? letter : argv[optind - 1]);
    return OPTIONS_WRONG;
}

static OptionsResult check(const Options *options, int argc, char **argv)
{
    if (optind < argc) {
        (void)fprintf(stderr, "ivshmem-server: unexpected argument '%s' (see --help)\n",
                      argv[optind]);
        return OPTIONS_WRONG;
    }
    if (options->server.verbose && !options->foreground) {
        (void)fputs("ivshmem-server: cannot use verbose in daemon mode: -v needs -F\n", stderr);
        return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}

OptionsResult options_parse(Options *options, int argc, char **argv)
{
    char letters[2 * N_OPTIONS + 2];
    struct option longs[N_OPTIONS + 1];
    int code;

    *options = (Options){.pidfile = OPTIONS_DEFAULT_PIDFILE};
    ivshmem_server_config_init(&options->server);
    prepare_getopt(letters, longs);
    while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const Option *option;

        if (code == '?' || code == ':')
            return wrong_option(argv, code == ':');
        option = find(code);
        if (!option->store) {
            if (option->letter == 'h')
                show_help();
            else
                (void)puts("ivshmem-server " IVSHMEM_VERSION);
            return OPTIONS_DONE;
        }
        if (!option->store(options, option, optarg))
            return OPTIONS_WRONG;
    }
    return check(options, argc, argv);
}
