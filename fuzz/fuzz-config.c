/* SPDX-License-Identifier: MIT */
/*
 * Configuration files, up to three in a folder: what is between two 0xff bytes of an input is one.
 * Whatever they hold, reading them opens and makes nothing and goes on to the last line; each thing
 * that is wrong is said once, with the file and where possible the line; and what is found right
 * is within its limits.
 */
#include "daemon/settings/config.h"

#include "daemon/daemon.h"
#include "fuzz.h"

#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 3
#define SEPARATOR 0xff
#define LAST_WORD "!" /* a line that is always wrong */

static const ConfigContext context = {
    .run_folder = "/nonexistent",
    .control_path = "/nonexistent/control",
    .run_uid = (uid_t)-1,
};
static char folder[64];

/* What can be wrong with a file as a whole. */
static const char *const of_files[] = {
    "there is no section [region]",
    "the path of the observers' socket",
    "no room for the observers' listener",
    "listener " CONFIG_OBSERVERS ":", /* which nobody wrote */
    "shm-name ",
};

static void remove_folder(void)
{
    RULE(rmdir(folder) == 0);
}

static void file_name(char path[static 96], unsigned number)
{
    (void)snprintf(path, 96, "%s/%c.conf", folder, 'a' + (int)number);
}

static void write_file(unsigned number, const uint8_t *bytes, size_t n, bool ends_wrong)
{
    char path[96];
    FILE *file;

    file_name(path, number);
    file = fopen(path, "we");
    RULE(file && fwrite(bytes, 1, n, file) == n);
    RULE(!ends_wrong || fputs("\n" LAST_WORD "\n", file) > 0);
    RULE(fclose(file) == 0);
}

static unsigned count_lines(const uint8_t *bytes, size_t n)
{
    unsigned lines = 1;

    for (size_t i = 0; i < n; i++)
        lines += bytes[i] == '\n';
    return lines;
}

/* A complaint says of which file it is, and of which line. The lines of each file are known. */
static void check_problem(const char *line, const unsigned *n_lines)
{
    const char *text = line + strlen(folder) + sizeof("/a.conf") - 1;
    unsigned file, number;
    int n = 0;

    RULE(strncmp(line, folder, strlen(folder)) == 0 && !strchr(line, '\n'));
    file = (unsigned)(line[strlen(folder) + 1] - 'a');
    RULE(file < FILES_MAX && n_lines[file]);
    if (sscanf(text, ":%u: %n", &number, &n) == 1 && n) {
        RULE(number >= 1 && number <= n_lines[file] && text[n]);
        return;
    }
    for (size_t i = 0; i < sizeof(of_files) / sizeof(of_files[0]); i++)
        n |=
            strncmp(text, ": ", 2) == 0 && strncmp(text + 2, of_files[i], strlen(of_files[i])) == 0;
    RULE(n);
}

static void check_listener(const ListenerSettings *listener, const RegionSettings *region)
{
    const IvshmemServerListenerConfig *config = &listener->config;

    RULE(*listener->name && listener->path[0] == '/' && config->unix_sock_path == listener->path);
    RULE(config->n_vectors <= region->config.n_vectors);
    RULE(config->socket_mode >= -1 && config->socket_mode <= 0777);
    RULE(config->socket_gid == (gid_t)-1 || config->socket_mode >= 0);
    RULE(config->reserved_id >= -1 && config->reserved_id < (int64_t)region->config.n_ids);
    RULE(config->reserved_id < 0 || (!config->observers && config->max_clients <= 1));
    RULE(config->backlog >= 1 && config->backlog <= 65535);
    RULE(config->max_clients <= 65536 && config->max_accepts_per_s <= 1000000);
    RULE(listener->policy.users.n <= POLICY_MAX && listener->policy.groups.n <= POLICY_MAX);
    RULE(listener->policy.read_only.n <= POLICY_MAX && !listener->has_wrong_path);
}

static void check_taken(const RegionSettings *region)
{
    static IvshmemServer server;
    unsigned n_observers = 0;

    for (unsigned i = 0; i < region->n_listeners; i++) {
        check_listener(&region->listeners[i], region);
        n_observers += strcmp(region->listeners[i].name, CONFIG_OBSERVERS) == 0;
        for (unsigned j = 0; j < i; j++) {
            RULE(strcmp(region->listeners[i].name, region->listeners[j].name) != 0);
            RULE(strcmp(region->listeners[i].path, region->listeners[j].path) != 0);
        }
    }
    RULE(n_observers == 1 && *region->memory_path);
    RULE(region->config.n_vectors >= 1 && region->config.n_vectors <= IVSHMEM_SERVER_MAX_VECTORS);
    RULE(region->config.shm_size > 0 && region->config.n_ids >= 1);
    /* What only the library knows is refused with its reason. */
    if (ivshmem_server_init_config(&server, &region->config) < 0)
        RULE(*ivshmem_server_error(&server));
    else
        RULE((server.shm_size & (server.shm_size - 1)) == 0);
}

/* Reads the folder. Gives how much is wrong with it; and whether the last line of the last file,
 * where the last word stands, is among that. */
static unsigned read_all(const unsigned *n_lines, unsigned last, bool *has_last_word)
{
    int open_before = count_open_fds();
    char path[96], last_word[160];
    Config config;
    unsigned n;

    file_name(path, last);
    (void)snprintf(last_word, sizeof(last_word), "%s:%u: neither ", path, n_lines[last]);
    config_read(&config, folder, &context);
    RULE(count_open_fds() == open_before);
    n = config.problems.n;
    *has_last_word = false;
    for (unsigned i = 0; i < problems_kept(&config.problems); i++) {
        const char *line = config.problems.lines[i];

        check_problem(line, n_lines);
        *has_last_word |= strncmp(line, last_word, strlen(last_word)) == 0;
    }
    for (unsigned i = 0; n == 0 && i < config.n_regions; i++)
        check_taken(&config.regions[i]);
    config_free(&config);
    RULE(!config.regions && !config.problems.lines);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *begin[FILES_MAX + 1], *end = n ? bytes + n : bytes;
    unsigned n_files = 0, n_lines[FILES_MAX] = {0}, n_wrong, more;
    bool has_last_word;

    if (!*folder) {
        (void)snprintf(folder, sizeof(folder), "fuzz-config-%d", (int)getpid());
        RULE(mkdir(folder, 0700) == 0 && atexit(remove_folder) == 0);
    }
    for (const uint8_t *at = bytes; at && n_files < FILES_MAX; n_files++) {
        begin[n_files] = at;
        at = n && n_files < FILES_MAX - 1 ? memchr(at, SEPARATOR, (size_t)(end - at)) : NULL;
        at = at ? at + 1 : NULL;
    }
    begin[n_files] = end + 1;
    for (unsigned i = 0; i < n_files; i++) {
        size_t size = (size_t)(begin[i + 1] - begin[i] - 1);

        write_file(i, begin[i], size, false);
        n_lines[i] = count_lines(begin[i], size);
    }
    n_files--;
    n_wrong = read_all(n_lines, n_files, &has_last_word);
    /* One line more at the end of the last: it is seen, there, and changes nothing else. */
    write_file(n_files, begin[n_files], (size_t)(end - begin[n_files]), true);
    n_lines[n_files]++;
    more = read_all(n_lines, n_files, &has_last_word);
    RULE(more == n_wrong + 1 && (more > PROBLEMS_MAX || has_last_word));

    for (unsigned i = 0; i <= n_files; i++) {
        char path[96];

        file_name(path, i);
        RULE(unlink(path) == 0);
    }
    return 0;
}
