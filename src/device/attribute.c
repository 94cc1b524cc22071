/* SPDX-License-Identifier: MIT */
#include "device/attribute.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/sys.h"

int attribute_path(char path[static PATH_MAX], const char *root, const char *address,
                   const char *leaf)
{
    int n = snprintf(path, PATH_MAX, "%s" PCI_DEVICES "/%s/%s", root, address, leaf);

    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int attribute_read(const char *root, const char *address, const char *leaf, char *text, size_t size)
{
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;
    ssize_t n;
    int result = attribute_path(path, root, address, leaf);

    if (result < 0)
        return result;
    fd = sys.open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = read(fd, text, size - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return 0;
}

int attribute_read_number(const char *root, const char *address, const char *leaf, uint64_t *out)
{
    char text[32];
    char *end;
    uint64_t value;
    int result = attribute_read(root, address, leaf, text, sizeof(text));

    if (result < 0)
        return result;
    value = strtoull(text, &end, 16);
    if (end == text || *end)
        return -EINVAL;
    *out = value;
    return 0;
}

int attribute_link(const char *root, const char *address, const char *leaf, char *text, size_t size)
{
    char path[PATH_MAX];
    char target[PATH_MAX];
    const char *name;
    ssize_t n;
    int result = attribute_path(path, root, address, leaf);

    if (result < 0)
        return result;
    n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    name = strrchr(target, '/');
    name = name ? name + 1 : target;
    if (strlen(name) >= size)
        return -ENAMETOOLONG;
    memcpy(text, name, strlen(name) + 1);
    return 0;
}

int attribute_write(const char *path, const char *text)
{
    _cleanup_close_ int fd = sys.open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}
