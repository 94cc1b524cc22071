/* SPDX-License-Identifier: MIT */
/* Paths as addresses of Unix sockets. */
#pragma once

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/**
 * The address of the Unix socket at a path.
 *
 * @return 0, -EINVAL for an empty path, -ENAMETOOLONG for one that does not fit with its final NUL
 *         (107 bytes do): a path is never cut
 */
static inline int address_of_path(const char *path, struct sockaddr_un *out)
{
    size_t length = strlen(path);

    if (length == 0)
        return -EINVAL;
    if (length >= sizeof(out->sun_path))
        return -ENAMETOOLONG;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, path, length + 1);
    return 0;
}
