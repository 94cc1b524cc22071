/* SPDX-License-Identifier: MIT */
/*
 * The shared memory that the peers map.
 *
 * Its size is a power of two, because it becomes a PCI BAR (QEMU aborts otherwise), and at least a
 * page. ftruncate reserves nothing: with a full file system the first access to a missing page
 * would be a SIGBUS in a guest. So the size is held against what is available, and the pages are
 * reserved when the memory is made. A memfd has no file system to be full: reserving more than the
 * machine has would call the OOM killer, hence the look at what is available first.
 */
#pragma once

#include "util/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum RegionKind {
    REGION_POSIX,     /* a POSIX shared memory object with a name */
    REGION_DIRECTORY, /* an unlinked file in a directory, such as a hugetlbfs mount */
    REGION_MEMFD,     /* nameless, mode 0600, sealed against any change of its size */
} RegionKind;

typedef struct Region {
    RegionKind kind;
    char name[PATH_MAX]; /* object name, directory, or a label */
    uint64_t size;       /* bytes */
    int fd;              /* open for reading and writing */
    bool made;           /* the object was made by us, so it is ours to remove */
} Region;

/** What is to be opened or made. */
typedef struct RegionSpec {
    RegionKind kind;
    const char *name;
    uint64_t size;           /* as region_size() gives it */
    bool no_reserve;         /* do not reserve the pages */
    uint64_t huge_page_size; /* of a memfd; 0: none */
    uid_t owner;             /* of what is made; (uid_t)-1: we */
    gid_t group;             /* may write to an object that exists; (gid_t)-1: none may */
} RegionSpec;

/** The size that a region of at least this many bytes has. @return 0, -EINVAL for 0, -ERANGE */
int region_size(uint64_t size, uint64_t *out);

/**
 * Opens or makes the memory.
 *
 * A POSIX object that exists already is used if it has the size, and cannot have been put there by
 * somebody else.
 *
 * @return 0, or a negative errno with error->text set and nothing left behind: -EEXIST for an
 * object of another size (it is never resized), -EPERM for one that is not to be trusted, -ENOMEM
 *         and -ENOSPC if there is no room, -EINVAL for a name that cannot be one
 */
int region_open(Region *region, const RegionSpec *spec, ErrorText *error);

/**
 * Opens the memory once more, so that whoever gets this descriptor can change the flags and the
 * offset of nobody else's.
 *
 * @return an fd of the caller's, or a negative errno (-EACCES: the object is another user's)
 */
int region_open_again(const Region *region, bool read_only);

#define ROOM_MAX 16

/** What regions that are to be there together take. Begins as zeros. */
typedef struct RoomTaken {
    uint64_t memory; /* bytes */
    struct {
        dev_t device; /* of a file system */
        uint64_t bytes;
    } of[ROOM_MAX];
    unsigned n;
} RoomTaken;

/**
 * Looks for what region_open() would fail at, as far as it can be known: nothing is left that was
 * not there before.
 *
 * @return as region_open()
 */
int region_check(const RegionSpec *spec, RoomTaken *taken, ErrorText *error);

/** Closes the memory and removes the name that region_open() made. Takes one that is not open. */
void region_close(Region *region);
