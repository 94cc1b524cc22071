/* SPDX-License-Identifier: MIT */
#include "device/bar.h"

#include <endian.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/sys.h"

int bar_map(Bar *bar, int fd, off_t base, size_t skew, uint64_t size)
{
    void *map;

    if (size == 0 || size > SIZE_MAX - skew)
        return -EINVAL;
    map = sys.mmap(NULL, skew + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, base);
    if (map == MAP_FAILED)
        return -errno;
    *bar = (Bar){
        .map = map,
        .map_size = skew + size,
        .at = (uint8_t *)map + skew,
        .size = size,
        .fd = -1,
    };
    return 0;
}

void bar_unmap(Bar *bar)
{
    if (bar->map)
        (void)munmap(bar->map, bar->map_size);
    *bar = (Bar){.fd = -1};
}

int bar_read(const Bar *bar, unsigned offset, uint32_t *out)
{
    uint32_t little;
    ssize_t n;

    if (bar->map) {
        *out = le32toh(*bar_place(bar, offset));
        return 0;
    }
    n = pread(bar->fd, &little, sizeof(little), bar->base + offset);
    if (n != sizeof(little))
        return n < 0 ? -errno : -EIO;
    *out = le32toh(little);
    return 0;
}

int bar_write_through_fd(const Bar *bar, unsigned offset, uint32_t value)
{
    uint32_t little = htole32(value);
    ssize_t n;

    n = pwrite(bar->fd, &little, sizeof(little), bar->base + offset);
    if (n != sizeof(little))
        return n < 0 ? -errno : -EIO;
    return 0;
}
