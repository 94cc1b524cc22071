/* SPDX-License-Identifier: MIT */
/*
 * Preloaded: kills a server's worker before a system call that the test chooses, by two numbers in
 * a file (IVSHMEM_DEADLY) that it may write at any time: which of the calls from now on, counted
 * from 1, and in how many workers, one after the other; and whether only those of bind() count.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

typedef struct Orders {
    unsigned left;    /* calls until one is deadly; 0: none is */
    unsigned deaths;  /* until no more are wanted */
    unsigned of_bind; /* no other calls count */
    unsigned again;   /* what `left` is for the next worker */
} Orders;

static volatile Orders *orders;

/* Before the sandbox, and for all that are forked. */
__attribute__((constructor)) static void prepare(void)
{
    const char *path = getenv("IVSHMEM_DEADLY");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    orders = mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (orders == MAP_FAILED)
        abort();
    (void)close(fd);
}

static void count(bool is_bind)
{
    if (!orders || (orders->of_bind && !is_bind) || !orders->left || --orders->left)
        return;
    if (--orders->deaths)
        orders->left = orders->again;
    __builtin_trap(); /* needs no call that the sandbox would have to allow */
}

#define WRAP(name, real, parameters, arguments)                                                    \
    PUBLIC int name parameters                                                                     \
    {                                                                                              \
        static int(*next) parameters;                                                              \
                                                                                                   \
        if (!next)                                                                                 \
            *(void **)&next = dlsym(RTLD_NEXT, real);                                              \
        count(sizeof(#name) == sizeof("bind") && #name[0] == 'b');                                 \
        return next arguments;                                                                     \
    }

WRAP(bind, "bind", (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
WRAP(listen, "listen", (int fd, int backlog), (fd, backlog))
WRAP(flock, "flock", (int fd, int operation), (fd, operation))
WRAP(fchmod, "fchmod", (int fd, mode_t mode), (fd, mode))
WRAP(close, "close", (int fd), (fd))
WRAP(unlink, "unlink", (const char *path), (path))
WRAP(shm_open, "shm_open", (const char *name, int flags, mode_t mode), (name, flags, mode))
WRAP(shm_unlink, "shm_unlink", (const char *name), (name))
WRAP(memfd_create, "memfd_create", (const char *name, unsigned flags), (name, flags))
WRAP(ftruncate, "ftruncate64", (int fd, off_t length), (fd, length))

PUBLIC ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    static ssize_t (*next)(int fd, const void *bytes, size_t n, off_t offset);

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "pwrite64");
    count(false);
    return next(fd, bytes, n, offset);
}
