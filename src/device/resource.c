/* SPDX-License-Identifier: MIT */
/*
 * Mapping a resource file neither needs nor causes the device to answer there. So it is enabled
 * first, through the kernel (`enable`) and not with a bit in its command register: the bridges
 * above a device that was plugged in late are then enabled too.
 */
#include "device/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "device/attribute.h"
#include "device/pci.h"
#include "util/cleanup.h"
#include "util/sys.h"

static int open_leaf(const char *root, const char *address, const char *leaf)
{
    char path[PATH_MAX];
    int result = attribute_path(path, root, address, leaf);

    if (result < 0)
        return result;
    result = sys.open(path, O_RDWR | O_CLOEXEC);
    return result < 0 ? -errno : result;
}

int resource_lock(const char *root, const char *address)
{
    _cleanup_close_ int fd = open_leaf(root, address, "resource0");

    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return fd_steal(&fd);
}

/* @return 0 or a negative errno */
static int write_enable(const char *root, const char *address, const char *text)
{
    char path[PATH_MAX];
    int result = attribute_path(path, root, address, "enable");

    return result < 0 ? result : attribute_write(path, text);
}

int resource_open(Resource *resource, const char *root, const char *address, const LogSink *log)
{
    int result;

    *resource = RESOURCE_CLOSED;
    result = resource_lock(root, address);
    if (result < 0) {
        log_line(log, LOG_ERR, "%s: cannot open its resource0: %s%s", address, strerror(-result),
                 result == -EBUSY ? " (another process has the device open)" : "");
        return result;
    }
    resource->lock = result;
    result = open_leaf(root, address, "config");
    if (result < 0) {
        log_line(log, LOG_ERR, "%s: cannot open its config: %s", address, strerror(-result));
        return result;
    }
    resource->config = result;
    result = write_enable(root, address, "1");
    if (result < 0) {
        log_line(log, LOG_ERR, "%s: cannot enable it: %s", address, strerror(-result));
        return result;
    }
    resource->enabled = true;
    return 0;
}

void resource_close(Resource *resource, const char *root, const char *address)
{
    if (resource->enabled)
        (void)write_enable(root, address, "0");
    fd_close(resource->config);
    fd_close(resource->lock);
    *resource = RESOURCE_CLOSED;
}

int resource_bar(const char *root, const char *address, unsigned index, const char *suffix,
                 Bar *out)
{
    _cleanup_close_ int fd = -1;
    char leaf[32];
    PciResource where;
    size_t skew;
    int result = pci_resource(root, address, index, &where);

    if (result < 0)
        return result;
    (void)snprintf(leaf, sizeof(leaf), "resource%u%s", index, suffix);
    fd = open_leaf(root, address, leaf);
    if (fd < 0)
        return fd;
    skew = where.start % (size_t)sysconf(_SC_PAGESIZE); /* the file starts at a whole page */
    return bar_map(out, fd, 0, skew, where.size);
}
