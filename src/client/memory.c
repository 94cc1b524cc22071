/* SPDX-License-Identifier: MIT */
/* The shared memory, mapped. */
#include "client/internal.h"
#include "util/sys.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int refuse(IvshmemClient *client, int r, const char *why)
{
    return link_fail(client, IVSHMEM_CLIENT_FAULT_SYSTEM, r, "cannot map the memory: %s", why);
}

int ivshmem_client_map(IvshmemClient *client, bool writable, size_t min_size, void **memory,
                       size_t *size)
{
    struct stat status;
    void *mapping;

    if (client->shm_fd < 0)
        return -ENOTCONN;
    if (fstat(client->shm_fd, &status) < 0)
        return refuse(client, -errno, strerror(errno));
    if (status.st_size == 0)
        return refuse(client, -ENODATA, "it is empty");
    if ((uintmax_t)status.st_size > PTRDIFF_MAX)
        return refuse(client, -EFBIG, "it does not fit the address space");
    if ((size_t)status.st_size < min_size)
        return refuse(client, -ERANGE, "it is smaller than wanted");
    mapping = sys.mmap(NULL, (size_t)status.st_size, PROT_READ | (writable ? PROT_WRITE : 0),
                       MAP_SHARED, client->shm_fd, 0);
    if (mapping == MAP_FAILED)
        return refuse(client, -errno, strerror(errno));
    *memory = mapping;
    *size = (size_t)status.st_size;
    return 0;
}
