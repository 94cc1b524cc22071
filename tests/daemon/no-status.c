/* SPDX-License-Identifier: MIT */
/*
 * Preloaded: of the times that /proc/self/status is opened, in all processes together, some fail as
 * if no descriptor were left. The server opens it once before it serves, and once in each worker.
 * NO_STATUS says which is the first that fails.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define N_FAIL 4

static int (*real)(const char *path, int flags, ...);
static unsigned *n, first;

/* Before the sandbox, and for all that are forked. */
__attribute__((constructor)) static void prepare(void)
{
    first = (unsigned)strtoul(getenv("NO_STATUS"), NULL, 10);
    *(void **)&real = dlsym(RTLD_NEXT, "open64");
    n = mmap(NULL, sizeof(*n), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* With offsets of 64 bits, as the server is built, its name is open64. */
__attribute__((visibility("default"))) int open(const char *path, int flags, ...)
{
    va_list more;
    mode_t mode;

    va_start(more, flags);
    mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (strcmp(path, "/proc/self/status") == 0 && ++*n >= first && *n < first + N_FAIL) {
        errno = EMFILE;
        return -1;
    }
    return real(path, flags, mode);
}
