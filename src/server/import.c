/* SPDX-License-Identifier: MIT */
#include "ivshmem-server.h"
#include "server/state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Copies what there is in a sparse file to another of the same size: both are mapped. */
static int copy_data(const State *to, const State *from, int fd)
{
    off_t end, begin = 0;

    while ((begin = lseek(fd, begin, SEEK_DATA)) >= 0) {
        end = lseek(fd, begin, SEEK_HOLE);
        if (end < 0)
            return -errno;
        memcpy((char *)to->base + begin, (const char *)from->base + begin, (size_t)(end - begin));
        begin = end;
    }
    return errno == ENXIO ? 0 : -errno;
}

typedef struct Renumbering {
    int (*renumber)(void *opaque, int fd);
    void *opaque;
    bool is_lacking;
} Renumbering;

static void renumber(void *opaque, int32_t *fd)
{
    Renumbering *numbers = opaque;

    *fd = numbers->renumber(numbers->opaque, *fd);
    if (*fd < 0)
        numbers->is_lacking = true;
}

int ivshmem_server_import(int to, int from, int (*number)(void *opaque, int fd), void *opaque)
{
    Renumbering numbers = {number, opaque, false};
    State old, new;
    int r = state_open(&old, from);

    if (r < 0)
        return r;
    r = state_new(&new, to, old.header->max_clients, old.header->max_vectors);
    if (r == 0)
        r = copy_data(&new, &old, from);
    if (r == 0)
        state_each_fd(&new, renumber, &numbers);
    if (r == 0 && numbers.is_lacking)
        r = -EBADF;
    state_free(&new);
    state_free(&old);
    return r;
}
