/* SPDX-License-Identifier: MIT */
#include "util/pages.h"

#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE_PAGES 16 /* some 0.2 ms, where a fault takes 12 us */

/* seccomp: madvise */
void pages_release(void *from, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if ((uintptr_t)from % page || size % page)
        return;
    /* A memfd's page is given back by a hole in it, which private memory cannot have. */
    if (madvise(from, size, MADV_REMOVE) < 0)
        (void)madvise(from, size, MADV_DONTNEED);
}

#ifdef MADV_POPULATE_READ
static void populate(const void *from, size_t size, int how)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), skew = (uintptr_t)from % page;

    (void)madvise((char *)from - skew, size + skew, how);
}

void pages_fetch(const void *from, size_t size)
{
    populate(from, size, MADV_POPULATE_READ);
}

void pages_make(void *from, size_t size)
{
    populate(from, size, MADV_POPULATE_WRITE);
}
#else
void pages_fetch(const void *from, size_t size)
{
    (void)from, (void)size;
}

void pages_make(void *from, size_t size)
{
    (void)from, (void)size;
}
#endif

/* seccomp: sched_yield */
bool pages_touch(void *from, size_t size, bool (*stop)(void))
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n;

    for (char *at = from; size > 0; at += n, size -= n) {
        if (stop && stop())
            return false;
        n = size < PIECE_PAGES * page ? size : PIECE_PAGES * page;
        pages_make(at, n);
        for (size_t i = 0; i < n; i += page)
            (void)((volatile const char *)at)[i];
        (void)sched_yield();
    }
    return true;
}
