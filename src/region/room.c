/* SPDX-License-Identifier: MIT */
#include "region/room.h"

#include "util/size.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

uint64_t room_available_memory(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    uint64_t kib = 0;
    bool found = false;
    char line[128];

    if (!file)
        return UINT64_MAX;
    while (!found && fgets(line, sizeof(line), file))
        found = sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1;
    (void)fclose(file);
    return found ? kib * 1024 : UINT64_MAX;
}

/* A number of huge pages of a size, as the kernel shows it. False if it does not. */
static bool read_pages(uint64_t page_size, const char *name, uint64_t *out)
{
    char path[128];
    FILE *file;
    bool found;

    (void)snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s",
                   page_size / 1024, name);
    file = fopen(path, "re");
    if (!file)
        return false;
    found = fscanf(file, "%" SCNu64, out) == 1;
    (void)fclose(file);
    return found;
}

/* Bytes of huge pages that can be reserved: those that are free, and those that may be made. */
static uint64_t available_huge_pages(uint64_t page_size)
{
    uint64_t n_free, n_reserved, n_more, n_surplus;

    if (!read_pages(page_size, "free_hugepages", &n_free) ||
        !read_pages(page_size, "resv_hugepages", &n_reserved) ||
        !read_pages(page_size, "nr_overcommit_hugepages", &n_more) ||
        !read_pages(page_size, "surplus_hugepages", &n_surplus))
        return UINT64_MAX;
    n_free -= n_reserved < n_free ? n_reserved : n_free;
    return (n_free + (n_more > n_surplus ? n_more - n_surplus : 0)) * page_size;
}

static uint64_t in_file_system(const struct statfs *file_system)
{
    uint64_t block = (uint64_t)file_system->f_bsize;

    if (file_system->f_type == HUGETLBFS_MAGIC)
        return available_huge_pages(block);
    return file_system->f_blocks ? file_system->f_bfree * block : UINT64_MAX; /* 0: no limit */
}

/* What is taken of a file system; of one that does not fit the table, nobody counts. */
static uint64_t *find_taken(RoomTaken *taken, dev_t device)
{
    for (unsigned i = 0; i < taken->n; i++)
        if (taken->of[i].device == device)
            return &taken->of[i].bytes;
    if (taken->n == ROOM_MAX)
        taken->n--;
    taken->of[taken->n].device = device;
    taken->of[taken->n].bytes = 0;
    return &taken->of[taken->n++].bytes;
}

static int refuse(const RegionSpec *spec, const char *what, const char *kind, uint64_t available,
                  uint64_t taken, ErrorText *error)
{
    char wanted[SIZE_TEXT_MAX], others[64] = "";

    size_format(spec->size, wanted);
    if (taken)
        (void)snprintf(others, sizeof(others), ", of which other regions take %" PRIu64 "M",
                       taken >> 20);
    return error_set(error, -ENOMEM, "no room for %s: %s of %s wanted, %" PRIu64 "M available%s",
                     what, wanted, kind, available >> 20, others);
}

static bool fits(const RegionSpec *spec, uint64_t available, uint64_t taken)
{
    return taken <= available && spec->size <= available - taken;
}

int room_check(int fd, const RegionSpec *spec, const char *what, RoomTaken *taken, ErrorText *error)
{
    bool is_memory, is_huge;
    struct statfs file_system;
    uint64_t available, *used;
    char wanted[SIZE_TEXT_MAX];
    struct stat found;

    if (fstatfs(fd, &file_system) < 0 || fstat(fd, &found) < 0)
        return error_set(error, -errno, "cannot look at the file system of %s: %s", what,
                         strerror(errno));
    is_memory = file_system.f_type == TMPFS_MAGIC;
    is_huge = file_system.f_type == HUGETLBFS_MAGIC;
    if (is_huge && spec->size < (uint64_t)file_system.f_bsize) {
        size_format(spec->size, wanted);
        return error_set(error, -EINVAL, "%s is less than a huge page (%" PRIu64 "K) of %s", wanted,
                         (uint64_t)file_system.f_bsize / 1024, what);
    }
    if (is_memory && !fits(spec, available = room_available_memory(), taken->memory))
        return refuse(spec, what, "shared memory", available, taken->memory, error);
    if (spec->no_reserve)
        return 0;
    used = find_taken(taken, found.st_dev);
    if (!fits(spec, available = in_file_system(&file_system), *used))
        return refuse(spec, what, is_huge ? "huge pages" : "its file system", available, *used,
                      error);
    *used += spec->size;
    taken->memory += is_memory ? spec->size : 0;
    return 0;
}
