/* SPDX-License-Identifier: MIT */
#include "region/region.h"

#include "region/room.h"
#include "util/cleanup.h"
#include "util/size.h"
#include "util/sys.h"
#include "util/trust.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define POSIX_MODE     0700 /* as QEMU's server makes it */
#define POSIX_NAME_MAX 253  /* glibc's shm_open() gives EINVAL for more */
#define MEMFD_MODE     0600

int region_size(uint64_t size, uint64_t *out)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    int r = size_round_up(size, &size);

    if (r < 0)
        return r;
    if (size > INT64_MAX) /* of an off_t */
        return -ERANGE;
    *out = size < page ? page : size;
    return 0;
}

/* A huge page's size is 0 where there are none. seccomp-change: fallocate */
static int reserve(int fd, const RegionSpec *spec, uint64_t huge_page, const char *what,
                   ErrorText *error)
{
    char wanted[SIZE_TEXT_MAX];

    if (spec->no_reserve || sys.fallocate(fd, 0, 0, (off_t)spec->size) == 0 || errno == EOPNOTSUPP)
        return 0;
    size_format(spec->size, wanted);
    if (errno == ENOSPC && huge_page)
        return error_set(error, -errno,
                         "no room for %s: cannot reserve %s: too few huge pages of %" PRIu64
                         "K are free (see /sys/kernel/mm/hugepages/hugepages-%" PRIu64
                         "kB/nr_hugepages)",
                         what, wanted, huge_page / 1024, huge_page / 1024);
    return error_set(error, -errno, "no room for %s: cannot reserve %s: %s", what, wanted,
                     strerror(errno));
}

/* Gives the new memory its size and reserves its pages.
 * seccomp-change: fstatfs ftruncate fchown */
static int allocate(int fd, const RegionSpec *spec, const char *what, ErrorText *error)
{
    uint64_t size = spec->size;
    char wanted[SIZE_TEXT_MAX];
    struct statfs file_system;
    uint64_t available, huge_page;

    size_format(size, wanted);
    if (fstatfs(fd, &file_system) < 0)
        return error_set(error, -errno, "cannot look at the file system of %s: %s", what,
                         strerror(errno));
    huge_page = file_system.f_type == HUGETLBFS_MAGIC ? (uint64_t)file_system.f_bsize : 0;
    if (file_system.f_type == TMPFS_MAGIC && size > (available = room_available_memory()))
        return error_set(error, -ENOMEM,
                         "no room for %s: %s of shared memory wanted, %" PRIu64 "M available", what,
                         wanted, available >> 20);
    if (sys.ftruncate(fd, (off_t)size) < 0) {
        if (errno == EINVAL && huge_page)
            return error_set(error, -EINVAL, "%s is less than a huge page (%" PRIu64 "K) of %s",
                             wanted, huge_page / 1024, what);
        return error_set(error, -errno, "cannot give %s its size of %s: %s", what, wanted,
                         strerror(errno));
    }
    if (spec->owner != (uid_t)-1 && fchown(fd, spec->owner, (gid_t)-1) < 0)
        return error_set(error, -errno, "cannot give %s to user %u: %s", what,
                         (unsigned)spec->owner, strerror(errno));
    return reserve(fd, spec, huge_page, what, error);
}

/* Whether a POSIX object that somebody else made, or -1 and errno, can be ours. */
static int check_existing(int fd, const RegionSpec *spec, ErrorText *error)
{
    char has[SIZE_TEXT_MAX], wanted[SIZE_TEXT_MAX];
    struct stat found;
    const char *why;

    if (fd < 0 || fstat(fd, &found) < 0)
        return error_set(error, -errno, "cannot open the shared memory object %s: %s", spec->name,
                         trust_open_reason(errno));
    why = S_ISREG(found.st_mode) ? trust_reason_against(&found, spec->owner, spec->group)
                                 : "is not a file";
    if (why)
        return error_set(error, -EPERM, "the shared memory object %s exists and %s: it is not used",
                         spec->name, why);
    if ((uint64_t)found.st_size == spec->size)
        return 0;
    size_format((uint64_t)found.st_size, has);
    size_format(spec->size, wanted);
    return error_set(error, -EEXIST,
                     "the shared memory object %s exists with a size of %s, not %s; use that size, "
                     "another name, or remove /dev/shm/%s if nobody uses it",
                     spec->name, has, wanted, spec->name + strspn(spec->name, "/"));
}

/* Takes a POSIX object that somebody else made, if it has our size. */
static int use_existing(Region *region, const RegionSpec *spec, ErrorText *error)
{
    _cleanup_close_ int fd = shm_open(region->name, O_RDWR | O_CLOEXEC, 0);
    int r = check_existing(fd, spec, error);

    if (r == 0)
        r = reserve(fd, spec, 0, region->name, error);
    if (r == 0)
        region->fd = fd_steal(&fd);
    return r;
}

static int check_name(const RegionSpec *spec, ErrorText *error)
{
    const char *name = spec->name + strspn(spec->name, "/");

    if (strchr(name, '/') || !*name)
        return error_set(error, -EINVAL, "%s is not the name of a shared memory object",
                         spec->name);
    if (strlen(name) > POSIX_NAME_MAX)
        return error_set(error, -ENAMETOOLONG,
                         "the name of the shared memory object has %zu bytes; 1 to %d are possible",
                         strlen(name), POSIX_NAME_MAX);
    return 0;
}

static int check_posix(const RegionSpec *spec, RoomTaken *taken, ErrorText *error)
{
    _cleanup_close_ int fd = -1, folder = -1;
    int r = check_name(spec, error);

    if (r < 0)
        return r;
    fd = shm_open(spec->name, O_RDWR | O_CLOEXEC, 0);
    if (fd >= 0 || errno != ENOENT)
        return check_existing(fd, spec, error);
    folder = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return error_set(error, -errno, "cannot make the shared memory object %s: %s", spec->name,
                         strerror(errno));
    return room_check(folder, spec, spec->name, taken, error);
}

static int open_posix(Region *region, const RegionSpec *spec, ErrorText *error)
{
    _cleanup_close_ int fd = -1;
    int r = check_name(spec, error);

    if (r < 0)
        return r;
    fd = shm_open(region->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, POSIX_MODE);
    if (fd < 0)
        return errno == EEXIST
                   ? use_existing(region, spec, error)
                   : error_set(error, -errno, "cannot make the shared memory object %s: %s",
                               region->name, strerror(errno));
    r = allocate(fd, spec, region->name, error);
    if (r < 0) {
        (void)shm_unlink(region->name);
        return r;
    }
    region->made = true;
    region->fd = fd_steal(&fd);
    return 0;
}

/* @return a descriptor, or a negative errno with the reason */
static int make_file(const RegionSpec *spec, ErrorText *error)
{
    int fd = open(spec->name, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    return fd < 0 ? error_set(error, -errno, "cannot make a file in the directory %s: %s",
                              spec->name, strerror(errno))
                  : fd;
}

static int check_directory(const RegionSpec *spec, RoomTaken *taken, ErrorText *error)
{
    _cleanup_close_ int fd = make_file(spec, error);

    return fd < 0 ? fd : room_check(fd, spec, spec->name, taken, error);
}

static int open_directory(Region *region, const RegionSpec *spec, ErrorText *error)
{
    _cleanup_close_ int fd = make_file(spec, error);
    int r;

    if (fd < 0)
        return fd;
    r = allocate(fd, spec, region->name, error);
    if (r == 0)
        region->fd = fd_steal(&fd);
    return r;
}

/* @return a descriptor, or a negative errno with the reason. seccomp-change: memfd_create */
static int make_memfd(const RegionSpec *spec, ErrorText *error)
{
    unsigned huge = spec->huge_page_size
                        ? MFD_HUGETLB | (unsigned)__builtin_ctzll(spec->huge_page_size)
                                            << MFD_HUGE_SHIFT
                        : 0;
    int fd = memfd_create(spec->name, MFD_CLOEXEC | MFD_ALLOW_SEALING | huge);

    return fd < 0 ? error_set(error, -errno, "cannot make a memfd%s: %s",
                              huge ? " with huge pages of that size" : "", strerror(errno))
                  : fd;
}

static int check_memfd(const RegionSpec *spec, RoomTaken *taken, ErrorText *error)
{
    _cleanup_close_ int fd = make_memfd(spec, error);

    return fd < 0 ? fd : room_check(fd, spec, "the memfd", taken, error);
}

/* seccomp-change: fchmod fcntl */
static int open_memfd(Region *region, const RegionSpec *spec, ErrorText *error)
{
    _cleanup_close_ int fd = make_memfd(spec, error);
    int r;

    if (fd < 0)
        return fd;
    /* Born with 0777, it could be opened again for writing by whoever holds it for reading. */
    if (fchmod(fd, MEMFD_MODE) < 0)
        return error_set(error, -errno, "cannot set the mode of a memfd: %s", strerror(errno));
    r = allocate(fd, spec, "the memfd", error);
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return error_set(error, -errno, "cannot seal a memfd: %s", strerror(errno));
    region->fd = fd_steal(&fd);
    return 0;
}

int region_open(Region *region, const RegionSpec *spec, ErrorText *error)
{
    static int (*const openers[])(Region *, const RegionSpec *, ErrorText *) = {
        [REGION_POSIX] = open_posix,
        [REGION_DIRECTORY] = open_directory,
        [REGION_MEMFD] = open_memfd,
    };

    *region = (Region){.kind = spec->kind, .size = spec->size, .fd = -1};
    if (strlen(spec->name) >= sizeof(region->name))
        return error_set(error, -ENAMETOOLONG, "the name of the memory has more than %zu bytes",
                         sizeof(region->name) - 1);
    strcpy(region->name, spec->name);
    return openers[spec->kind](region, spec, error);
}

int region_check(const RegionSpec *spec, RoomTaken *taken, ErrorText *error)
{
    static int (*const checks[])(const RegionSpec *, RoomTaken *, ErrorText *) = {
        [REGION_POSIX] = check_posix,
        [REGION_DIRECTORY] = check_directory,
        [REGION_MEMFD] = check_memfd,
    };

    return checks[spec->kind](spec, taken, error);
}

/* seccomp: openat open */
int region_open_again(const Region *region, bool read_only)
{
    char path[sizeof("/proc/self/fd/") + 16];
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", region->fd);
    fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Whether the object that has our name is still the one that we made. seccomp: openat open */
static bool has_its_name(const Region *region)
{
    _cleanup_close_ int fd = shm_open(region->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    struct stat ours, found;

    return fd >= 0 && fstat(fd, &found) == 0 && fstat(region->fd, &ours) == 0 &&
           found.st_dev == ours.st_dev && found.st_ino == ours.st_ino;
}

/* seccomp: unlink unlinkat */
void region_close(Region *region)
{
    if (region->made && has_its_name(region))
        (void)shm_unlink(region->name);
    region->fd = fd_close(region->fd);
    region->made = false;
}
