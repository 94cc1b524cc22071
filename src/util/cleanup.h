/* SPDX-License-Identifier: MIT */
/*
 * Ownership that ends with a scope: _cleanup_(f) runs f on a variable's address when it goes out of
 * scope, and the steal functions hand what it holds to somebody else first.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/** Closes an fd that may be -1 and keeps errno. Gives -1, to be stored where the fd was. */
static inline int fd_close(int fd)
{
    if (fd >= 0) {
        int saved = errno;

        (void)close(fd);
        errno = saved;
    }
    return -1;
}

/** Takes the fd out of *fd, which is -1 afterwards. */
static inline int fd_steal(int *fd)
{
    int stolen = *fd;

    *fd = -1;
    return stolen;
}

static inline void fd_closep(const int *fd)
{
    fd_close(*fd);
}

static inline void freep(void *p)
{
    free(*(void **)p);
}

#define _cleanup_close_ _cleanup_(fd_closep)
#define _cleanup_free_  _cleanup_(freep)

/** Takes the pointer out of a variable, which is NULL afterwards. */
#define ptr_steal(p)                                                                               \
    (__extension__({                                                                               \
        __typeof__(p) *_at = &(p);                                                                 \
        __typeof__(p) _stolen = *_at;                                                              \
        *_at = NULL;                                                                               \
        _stolen;                                                                                   \
    }))
