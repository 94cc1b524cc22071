/* SPDX-License-Identifier: MIT */
#include "daemon/share.h"

#include "daemon/control/control.h"
#include "daemon/daemon.h"
#include "util/limits.h"

#include <errno.h>
#include <sys/resource.h>

#define KEPT         64 /* descriptors for whatever the process opens for a moment */
#define PER_REGION   8  /* of a region without listeners */
#define PER_LISTENER 2  /* its socket and its lock */
#define MAX_CLIENTS  65536
#define TAKE_OVER    2 /* a message goes out while no more than the limit are on their way */

void share_limit(const Daemon *daemon)
{
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limits_set_fds(daemon->stores      ? limit.rlim_max - limit.rlim_max / 2
                   : daemon->can_leave ? TAKE_OVER
                                       : 0);
}

/* seccomp: prlimit64 */
void share_lift_limit(void)
{
    limits_raise_fds();
}

/* seccomp: prlimit64 getrlimit */
static uint64_t allowed_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
        limit.rlim_cur = INT32_MAX;
    return limit.rlim_cur;
}

static uint64_t fds_of_clients(uint64_t n_clients, unsigned n_vectors)
{
    return n_clients * (1 + n_vectors);
}

static uint64_t fixed_fds(const RegionSettings *settings)
{
    return PER_REGION + (uint64_t)PER_LISTENER * settings->n_listeners +
           fds_of_clients(settings->config.max_clients, settings->config.n_vectors);
}

static int refuse(const RegionSettings *settings, uint64_t left, ErrorText *error)
{
    return error_set(error, -EMFILE,
                     "region %s: %u clients with %u vectors need more descriptors than the %llu "
                     "that are left (see ulimit -n, and max-clients of the regions)",
                     settings->name,
                     settings->config.max_clients ? settings->config.max_clients : 1,
                     settings->config.n_vectors, (unsigned long long)left);
}

/* As many clients as a part of the descriptors allows. */
static int give_part(RegionSettings *settings, uint64_t part, ErrorText *error)
{
    uint64_t n = part / fds_of_clients(1, settings->config.n_vectors);

    if (n == 0)
        return refuse(settings, part, error);
    settings->has_share = true;
    settings->config.max_clients = n < MAX_CLIENTS ? (unsigned)n : MAX_CLIENTS;
    return 0;
}

int share_all(const Daemon *daemon, RegionSettings *regions, unsigned n, ErrorText *error)
{
    uint64_t left = allowed_fds(), kept = KEPT + CONTROL_MAX_SESSIONS;
    unsigned n_open = 0;
    int r = 0;

    if (n == 1 && !daemon->can_change && !daemon->stores)
        return 0;
    left = left > kept ? left - kept : 0;
    for (unsigned i = 0; i < n; i++) {
        if (fixed_fds(&regions[i]) > left)
            return refuse(&regions[i], left, error);
        left -= fixed_fds(&regions[i]);
        n_open += regions[i].config.max_clients == 0;
    }
    left -= left / 8; /* for regions that are added later */
    for (unsigned i = 0; r == 0 && i < n; i++)
        if (regions[i].config.max_clients == 0)
            r = give_part(&regions[i], left / n_open, error);
    return r;
}

int share_one(const Daemon *daemon, RegionSettings *settings, ErrorText *error)
{
    uint64_t left = allowed_fds(), used = KEPT + CONTROL_MAX_SESSIONS + fixed_fds(settings);

    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        used +=
            PER_REGION + PER_LISTENER * (uint64_t)region->n_listeners +
            fds_of_clients(ivshmem_server_max_clients(&region->server), region->server.n_vectors);
    if (used > left)
        return refuse(settings, left, error);
    return settings->config.max_clients ? 0 : give_part(settings, (left - used) / 4, error);
}
