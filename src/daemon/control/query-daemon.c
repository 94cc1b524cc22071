/* SPDX-License-Identifier: MIT */
/* What can be asked of the daemon itself. */
#include "daemon/control/command.h"
#include "daemon/control/control.h"
#include "daemon/control/json.h"
#include "daemon/control/keys.h"
#include "daemon/daemon.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int run_query_version(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    (void)daemon, (void)arguments, (void)error;
    *result = json_version();
    return 0;
}

static json_t *describe_argument(const Argument *argument)
{
    static const char *const types[] = {
        [ARGUMENT_STRING] = "string",
        [ARGUMENT_INTEGER] = "integer",
        [ARGUMENT_BOOLEAN] = "boolean",
    };

    return json_pack("{s:s,s:s,s:b,s:s}", "name", argument->name, "type", types[argument->type],
                     "required", argument->required, "help", argument->help);
}

static json_t *describe_key(const Key *key)
{
    return json_pack("{s:s,s:s,s:b,s:s,s:s}", "name", key->name, "type", keys_type(key), "required",
                     false, "help", key->help, "default", key->fallback);
}

static json_t *describe(const Command *command)
{
    json_t *arguments = json_array();

    for (const Argument *argument = command->arguments; argument->name; argument++)
        (void)json_array_append_new(arguments, describe_argument(argument));
    for (unsigned i = 0; command->keys && i < command->keys->n; i++)
        (void)json_array_append_new(arguments, describe_key(&command->keys->keys[i]));
    return json_pack("{s:s,s:s,s:b,s:o}", "name", command->name, "help", command->help, "changes",
                     command->changes, "arguments", arguments);
}

int run_query_commands(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    (void)daemon, (void)arguments, (void)error;
    *result = json_array();
    for (size_t i = 0; i < n_commands; i++)
        (void)json_array_append_new(*result, describe(&command_table[i]));
    return 0;
}

/* Linux has told it as the folder's size since 6.2; before, its entries are counted.
 * seccomp: newfstatat stat openat getdents64 */
static json_int_t count_fds(void)
{
    struct stat found;
    json_int_t n = -3; /* ".", ".." and the folder itself */
    DIR *folder;

    if (stat("/proc/self/fd", &found) == 0 && found.st_size > 0)
        return found.st_size;
    folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    while (readdir(folder))
        n++;
    (void)closedir(folder);
    return n;
}

/* Resident memory of this process, in bytes; 0 if the kernel does not tell.
 * seccomp: openat read close */
static json_int_t count_resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (file && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        (void)fclose(file);
    return (json_int_t)pages * sysconf(_SC_PAGESIZE);
}

/* Processor time of this process, in microseconds. */
static json_int_t count_cpu(void)
{
    struct timespec used = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (json_int_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* seccomp: prlimit64 getrlimit */
int run_query_status(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    struct rlimit limit = {0};
    json_int_t n_clients = 0;

    (void)arguments, (void)error;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        n_clients += daemon_region_count_clients(region);
    *result = json_pack("{s:b,s:i,s:o,s:i,s:I,s:I,s:I,s:i,s:I,s:I,s:i}", "running", true, "pid",
                        (int)getpid(), "since", json_time(daemon->started_at), "regions",
                        (int)daemon->n_regions, "clients", n_clients, "fds-used", count_fds(),
                        "fds-allowed", (json_int_t)limit.rlim_cur, "control-connections",
                        (int)daemon->control.n_sessions, "cpu-us", count_cpu(), "resident",
                        count_resident(), "workers-killed", (int)daemon->n_killed);
    return 0;
}

int run_quit(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    (void)arguments, (void)result, (void)error;
    loop_stop(&daemon->loop);
    return 0;
}
