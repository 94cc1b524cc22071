/* SPDX-License-Identifier: MIT */
/* A list of descriptors that somebody else names, one after the other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/** All zero is an empty one. */
typedef struct FdList {
    int *fds; /* borrowed */
    uint32_t n, size;
    bool is_short; /* there was no memory for all */
} FdList;

/** Appends a descriptor, unless it is -1, to the FdList that `opaque` points to. */
static inline void fd_list_add(void *opaque, int fd)
{
    FdList *list = opaque;

    if (fd < 0 || list->is_short)
        return;
    if (list->n == list->size) {
        int *more = reallocarray(list->fds, 2 * list->size + 64, sizeof(*more));

        if (!more) {
            list->is_short = true;
            return;
        }
        list->fds = more;
        list->size = 2 * list->size + 64;
    }
    list->fds[list->n++] = fd;
}

/** Closes none of them. */
static inline void fd_list_free(FdList *list)
{
    free(list->fds);
}
