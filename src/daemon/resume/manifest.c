/* SPDX-License-Identifier: MIT */
#include "daemon/resume/manifest.h"

#include "util/cleanup.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC   UINT64_C(0x736e616d6d687669) /* "ivhmmans" */
#define VERSION 1
#define PLACE   (INT64_C(1) << 30) /* bytes between the places, which are sparse */
#define MOST    ((size_t)PLACE / 2)

typedef struct Header {
    uint64_t magic;
    uint64_t version;
    uint64_t current; /* twice the bytes of the text, and which place it is in */
} Header;

static off_t place(unsigned number)
{
    return (off_t)((number + 1) * PLACE);
}

int manifest_new(void)
{
    int fd = memfd_create("ivshmem-manifest", MFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int read_header(int fd, Header *header)
{
    ssize_t n = pread(fd, header, sizeof(*header), 0);

    if (n == 0)
        *header = (Header){MAGIC, VERSION, 0};
    return n < 0 ? -errno : n > 0 && n < (ssize_t)sizeof(*header) ? -EBADMSG : 0;
}

/* Eight bytes in one page are written whole or not at all, whoever is killed. seccomp: pwrite64 */
static int write_all(int fd, const void *bytes, size_t length, off_t offset)
{
    ssize_t n = pwrite(fd, bytes, length, offset);

    return n < 0 ? -errno : (size_t)n < length ? -ENOSPC : 0;
}

/* The text as a line of the caller's, without a NUL; NULL if there is no memory. Into a buffer of
 * our own: jansson 2.14 leaves bytes out where it cannot enlarge its own. */
static char *write_line(const json_t *text, size_t *length)
{
    _cleanup_free_ char *line = NULL;

    *length = json_dumpb(text, NULL, 0, JSON_COMPACT);
    line = *length ? malloc(*length) : NULL;
    if (!line || json_dumpb(text, line, *length, JSON_COMPACT) != *length)
        return NULL;
    return ptr_steal(line);
}

int manifest_store(int fd, json_t *text)
{
    size_t length;
    _cleanup_free_ char *line = write_line(text, &length);
    uint64_t current;
    Header header;
    unsigned next;
    int r;

    json_decref(text);
    if (!line)
        return -ENOMEM;
    if (length > MOST)
        return -EFBIG;
    r = read_header(fd, &header);
    if (r < 0)
        return r;
    next = !(header.current & 1);
    current = (uint64_t)length << 1 | next;
    if ((r = write_all(fd, line, length, place(next))) < 0 ||
        (r = write_all(fd, &header, offsetof(Header, current), 0)) < 0)
        return r;
    return write_all(fd, &current, sizeof(current), offsetof(Header, current));
}

/* seccomp: pread64 */
json_t *manifest_load(int fd, ErrorText *error)
{
    _cleanup_free_ char *line = NULL;
    json_error_t wrong;
    Header header;
    size_t length;
    json_t *text;
    int r = read_header(fd, &header);

    if (r == 0 && header.magic != MAGIC)
        r = -EPROTO;
    if (r < 0) {
        (void)error_set(error, r, "the manifest cannot be read: %s", strerror(-r));
        return NULL;
    }
    if (header.version != VERSION) {
        (void)error_set(error, -EPROTO, "the manifest has version %llu; this program reads %d",
                        (unsigned long long)header.version, VERSION);
        return NULL;
    }
    length = header.current >> 1;
    line = length <= MOST ? malloc(length + 1) : NULL;
    if (!line || pread(fd, line, length, place(header.current & 1)) != (ssize_t)length) {
        (void)error_set(error, -EBADMSG, "the manifest is damaged: it is cut short");
        return NULL;
    }
    text = json_loadb(line, length, JSON_REJECT_DUPLICATES, &wrong);
    if (!text)
        (void)error_set(error, -EBADMSG, "the manifest is damaged: %s", wrong.text);
    return text;
}
