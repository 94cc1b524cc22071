/* SPDX-License-Identifier: MIT */
#include "util/folder.h"

#include <string.h>

const char *folder_of(const char *path, char buffer[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    if (!slash)
        return ".";
    if (length == 0 || length >= PATH_MAX)
        return "/";
    memcpy(buffer, path, length);
    buffer[length] = '\0';
    return buffer;
}
