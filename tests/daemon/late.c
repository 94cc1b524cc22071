/* SPDX-License-Identifier: MIT */
/* Preloaded: a process that has stood by takes its time before it blocks the worker's signals. */
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#define WHILE 0.3 /* seconds */

static int (*real)(int how, const sigset_t *set, sigset_t *old);
static bool stands_by;

__attribute__((constructor)) static void prepare(void)
{
    *(void **)&real = dlsym(RTLD_NEXT, "sigprocmask");
}

/* Without a call that the sandbox might not know. */
static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

__attribute__((visibility("default"))) int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    double began = seconds();

    while (how == SIG_BLOCK && stands_by && seconds() < began + WHILE)
        ;
    stands_by = how == SIG_UNBLOCK;
    return real(how, set, old);
}
