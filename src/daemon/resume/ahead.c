/* SPDX-License-Identifier: MIT */
#include "daemon/resume/ahead.h"

#include <stdlib.h>

IvshmemServerMap *ahead_take(Ahead *ahead, int state_fd)
{
    IvshmemServerMap *map = NULL;

    for (unsigned i = 0; i < ahead->n && !map; i++) {
        if (ahead->states[i].fd == state_fd) {
            map = ahead->states[i].map;
            ahead->states[i].map = NULL;
        }
    }
    return map;
}

void ahead_free(Ahead *ahead)
{
    for (unsigned i = 0; i < ahead->n; i++)
        ivshmem_server_unmap(ahead->states[i].map);
    free(ahead->states);
    *ahead = (Ahead){0};
}

static IvshmemServerMap *map(Ahead *before, int fd, bool (*stop)(void))
{
    IvshmemServerMap *map = ahead_take(before, fd);

    if (map && ivshmem_server_map_is_of(map, fd)) {
        ivshmem_server_map_again(map, stop);
        return map;
    }
    ivshmem_server_unmap(map);
    return ivshmem_server_map(fd, stop);
}

void ahead_look(Ahead *ahead, const Config *config, bool (*stop)(void))
{
    Ahead before = *ahead;

    *ahead = (Ahead){.states = calloc(config->n_regions, sizeof(*ahead->states))};
    for (unsigned i = 0; ahead->states && i < config->n_regions; i++) {
        int fd = config->regions[i].config.state_fd;

        ahead->states[ahead->n++] = (AheadState){fd, map(&before, fd, stop)};
    }
    ahead_free(&before);
}
