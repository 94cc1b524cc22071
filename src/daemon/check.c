/* SPDX-License-Identifier: MIT */
#include "daemon/check.h"

#include "daemon/daemon.h"
#include "daemon/launch.h"
#include "daemon/process/notify.h"
#include "daemon/settings/libvirt.h"
#include "daemon/share.h"
#include "region/region.h"
#include "server/listen-socket.h"
#include "util/capability.h"
#include "util/cleanup.h"
#include "util/folder.h"
#include "util/group.h"

#include <fcntl.h>
#include <string.h>

#define LISTENS 0x10000 /* __SO_ACCEPTCON, among the flags in /proc/net/unix */

typedef struct Check {
    Config *config;
    const ConfigContext *context;
    const Passed *passed;
    char *sockets;  /* /proc/net/unix, or NULL */
    bool is_served; /* by a server with our control socket */
    bool may_give;  /* files to anybody */
    RoomTaken taken;
} Check;

#define lacks(check, place, ...) problems_add_here(&(check)->config->problems, place, __VA_ARGS__)

/* Connecting would tell who listens, but be noticed. */
static char *read_sockets(void)
{
    FILE *file = fopen("/proc/net/unix", "re");
    char *text = NULL;
    size_t size = 0;

    if (!file)
        return NULL;
    if (getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    (void)fclose(file);
    return text;
}

/* Whether a line of it, which the path ends, is of a socket that listens. */
static bool listens(const char *text, const char *path)
{
    const char *line = path;
    unsigned flags;

    while (line > text && line[-1] != '\n')
        line--;
    return path > line && path[-1] == ' ' && sscanf(line, "%*s %*s %*s %x", &flags) == 1 &&
           flags & LISTENS;
}

static bool is_live(const Check *check, const char *path)
{
    size_t length = strlen(path);

    for (const char *at = check->sockets; at && (at = strstr(at, path)); at++)
        if (at[length] == '\n' && listens(check->sockets, at))
            return true;
    return false;
}

static void check_owner(Check *check, const IvshmemServerListenerConfig *config, const char *place)
{
    if (check->may_give)
        return;
    if (config->socket_uid != (uid_t)-1 && config->socket_uid != geteuid())
        lacks(check, place, "the socket cannot be given to user %u by user %u",
              (unsigned)config->socket_uid, (unsigned)geteuid());
    if (config->socket_gid != (gid_t)-1 && !group_is_ours(config->socket_gid))
        lacks(check, place, "the socket cannot be given to group %u by user %u, who is not in it",
              (unsigned)config->socket_gid, (unsigned)geteuid());
}

/* Whether a start makes the folder of a path. */
static bool is_made(const Check *check, const char *path)
{
    const char *folder = check->context->run_folder;
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && path[length] == '/' &&
           !strchr(path + length + 1, '/') && access(folder, F_OK) < 0 && errno == ENOENT;
}

static void check_socket(Check *check, const ListenSpec *spec, const char *place)
{
    ErrorText error;

    if (passed_find(check->passed, spec->path) >= 0 || is_made(check, spec->path))
        return;
    if (!is_live(check, spec->path)) {
        if (listen_socket_check(spec, &error) < 0)
            lacks(check, place, "%s", error.text);
    } else if (!check->is_served) {
        lacks(check, place, "another server listens at %s", spec->path);
    }
}

static void check_listener(Check *check, const RegionSettings *region,
                           const ListenerSettings *listener)
{
    const ListenSpec spec = {.path = listener->path, .uid = listener->config.socket_uid, .fd = -1};
    char place[CONFIG_PLACE_SIZE];
    ErrorText error;

    if (!*listener->path)
        return;
    (void)config_place(listener, region->file, place);
    check_socket(check, &spec, place);
    check_owner(check, &listener->config, place);
    if (libvirt_check(listener, &error) < 0)
        lacks(check, place, "%s", error.text);
}

/* Whether a server that runs has the region already, its memory with it. */
static bool is_there(const Check *check, const RegionSettings *region)
{
    for (unsigned i = 0; check->is_served && i < region->n_listeners; i++)
        if (is_live(check, region->listeners[i].path))
            return true;
    return false;
}

static void check_memory(Check *check, const RegionSettings *settings)
{
    static IvshmemServer server; /* which is never started: it knows its size */
    RegionSpec spec = {
        .kind = (RegionKind)settings->config.memory,
        .no_reserve = settings->config.no_reserve,
        .huge_page_size = settings->config.huge_page_size,
        .owner = settings->config.memory_uid,
        .group = settings->config.memory_gid,
    };
    ErrorText error;

    if (is_there(check, settings))
        return;
    if (ivshmem_server_init_config(&server, &settings->config) < 0) {
        lacks(check, settings->file, "%s", ivshmem_server_error(&server));
        return;
    }
    spec.name = server.shm_path;
    spec.size = server.shm_size;
    if (region_check(&spec, &check->taken, &error) < 0)
        lacks(check, settings->file, "%s", error.text);
}

/* How many clients a region can have is known once all have got their shares of descriptors, by
 * numbers that are right. */
static void check_shares(Check *check, const Options *options)
{
    static Daemon daemon;
    ErrorText error;

    daemon.can_change = launch_can_change(options);
    daemon.stores = options->fd_store && notify_fd() >= 0;
    if (share_all(&daemon, check->config->regions, check->config->n_regions, &error) < 0) {
        lacks(check, options->config, "%s", error.text);
        return;
    }
    for (unsigned i = 0; i < check->config->n_regions; i++) {
        const RegionSettings *region = &check->config->regions[i];
        unsigned n = config_count_reserved(region);

        if (region->has_share && n > region->config.max_clients)
            lacks(check, region->file,
                  "the %u listeners with reserved-id are more than the %u clients that its share "
                  "of descriptors is enough for (see ulimit -n)",
                  n, region->config.max_clients);
    }
}

static void check_run_folder(Check *check)
{
    char parent[PATH_MAX];
    const char *folder = check->context->run_folder;

    if (access(folder, F_OK) == 0 || errno != ENOENT)
        return;
    if (faccessat(AT_FDCWD, folder_of(folder, parent), W_OK | X_OK, AT_EACCESS) < 0)
        lacks(check, check->context->control_path, "cannot make the folder %s: %s", folder,
              strerror(errno));
}

static void check_control(Check *check, const Options *options)
{
    const ListenSpec spec = {
        .path = options->control, .uid = options->run_uid, .gid = options->control_gid, .fd = -1};
    const IvshmemServerListenerConfig owner = {.socket_uid = spec.uid, .socket_gid = spec.gid};

    check_run_folder(check);
    check_socket(check, &spec, "the control socket");
    check_owner(check, &owner, "the control socket");
}

/* Two paths of one socket, by links between folders. */
typedef struct Resolved {
    char path[PATH_MAX];
    const RegionSettings *region;
    const ListenerSettings *listener;
} Resolved;

static int compare_resolved(const void *a, const void *b)
{
    const Resolved *left = a, *right = b;

    return strcmp(left->path, right->path);
}

static bool resolve(Resolved *out, const RegionSettings *region, const ListenerSettings *listener)
{
    char folder[PATH_MAX], whole[PATH_MAX];
    int n;

    if (!*listener->path || !realpath(folder_of(listener->path, folder), whole))
        return false;
    n = snprintf(out->path, sizeof(out->path), "%s%s", strcmp(whole, "/") == 0 ? "" : whole,
                 strrchr(listener->path, '/'));
    out->region = region;
    out->listener = listener;
    return n > 0 && n < (int)sizeof(out->path);
}

static void check_links(Check *check)
{
    _cleanup_free_ Resolved *all = NULL;
    size_t n = 0, most = 1;

    for (unsigned i = 0; i < check->config->n_regions; i++)
        most += check->config->regions[i].n_listeners;
    all = calloc(most, sizeof(*all));
    for (unsigned i = 0; all && i < check->config->n_regions; i++) {
        const RegionSettings *region = &check->config->regions[i];

        for (unsigned j = 0; j < region->n_listeners; j++)
            n += resolve(&all[n], region, &region->listeners[j]);
    }
    if (n)
        qsort(all, n, sizeof(*all), compare_resolved);
    for (size_t i = 1; i < n; i++) {
        const Resolved *a = &all[i - 1], *b = &all[i];
        char place[CONFIG_PLACE_SIZE];

        if (compare_resolved(a, b) != 0 || strcmp(a->listener->path, b->listener->path) == 0)
            continue;
        (void)config_place(b->listener, b->region->file, place);
        lacks(check, place, "%s and %s, of listener %s of region %s, are one", b->listener->path,
              a->listener->path, a->listener->name, a->region->name);
    }
}

void check_machine(Config *config, const ConfigContext *context, const Options *options,
                   const Passed *passed)
{
    _cleanup_free_ char *sockets = read_sockets();
    Check check = {config, context, passed, sockets,
                   .may_give = capability_is_effective(CAP_CHOWN)};

    check.is_served = is_live(&check, context->control_path);
    if (config->problems.n == config->problems.n_here)
        check_shares(&check, options);
    check_control(&check, options);
    for (unsigned i = 0; i < config->n_regions; i++) {
        check_memory(&check, &config->regions[i]);
        for (unsigned j = 0; j < config->regions[i].n_listeners; j++)
            check_listener(&check, &config->regions[i], &config->regions[i].listeners[j]);
    }
    check_links(&check);
}
