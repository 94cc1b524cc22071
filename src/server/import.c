/* SPDX-License-Identifier: MIT */
/* A state that another process has written, copied for this one. */
#include "ivshmem-server.h"
#include "server/state-check.h"
#include "server/view.h"
#include "util/pages.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define COPIED_MAX ((size_t)65536) /* bytes at a time */

/* Both are laid out alike. Through the mapping of the other, each page would be a fault. */
typedef struct Copy {
    const State *to, *from;
    int to_fd, from_fd;
    int error; /* a negative errno */
} Copy;

static off_t offset_of(const Copy *copy, const void *part)
{
    return (const char *)part - (const char *)copy->to->base;
}

/* A part that is looked at next. */
static void copy_records(Copy *copy, void *part, size_t size)
{
    char *at = part;

    pages_make(part, size);
    while (size > 0) {
        ssize_t n = pread(copy->from_fd, at, size, offset_of(copy, at));

        if (n <= 0) {
            copy->error = n < 0 ? -errno : -EBADMSG;
            return;
        }
        at += n;
        size -= (size_t)n;
    }
}

/* Of the views, from one memfd to the other. All of that range is there, as state_open() has seen.
 */
static bool copy_part(void *opaque, const void *part, size_t size)
{
    Copy *copy = opaque;
    char bytes[COPIED_MAX];
    off_t at = offset_of(copy, part);

    while (size > 0) {
        size_t n = size < sizeof(bytes) ? size : sizeof(bytes);
        ssize_t done = pread(copy->from_fd, bytes, n, at);

        if (done > 0)
            done = pwrite(copy->to_fd, bytes, (size_t)done, at);
        if (done <= 0) {
            copy->error = done < 0 ? -errno : -EBADMSG;
            return false;
        }
        at += done;
        size -= (size_t)done;
    }
    return true;
}

/* Copies what recover() does not make anew. The other process can still write to its state: what is
 * looked at is in the copy alone, which nobody else sees. */
static int copy(Copy *copy, ErrorText *error)
{
    const State *to = copy->to, *from = copy->from;
    StateHeader header = *from->header;
    size_t slots = header.slot_limit;

    if (slots > to->max_clients || header.listener_limit > LISTENERS_MAX ||
        header.id_limit > WIRE_N_IDS)
        return error_set(error, -EBADMSG, "the state is damaged: its header is wrong");
    header.max_clients = to->max_clients;
    header.max_vectors = to->max_vectors;
    header.size = to->size;
    *to->header = header;
    copy_records(copy, to->clients, slots * sizeof(*to->clients));
    copy_records(copy, to->listeners, header.listener_limit * sizeof(*to->listeners));
    copy_records(copy, to->batch, sizeof(*to->batch));
    copy_records(copy, to->eventfds, slots * header.max_vectors * sizeof(*to->eventfds));
    if (copy->error < 0 || !view_each_part(to, copy_part, copy))
        return error_set(error, copy->error, "the state cannot be copied: %s",
                         strerror(-copy->error));
    return state_check(to, WIRE_N_IDS, error);
}

typedef struct Renumbering {
    int (*renumber)(void *opaque, int fd);
    void *opaque;
    int lacking; /* a descriptor that did not come with the state; -1: none */
} Renumbering;

static void renumber_one(void *opaque, int32_t *fd)
{
    Renumbering *numbers = opaque;
    int there = *fd;

    *fd = numbers->renumber(numbers->opaque, there);
    if (*fd < 0)
        numbers->lacking = there;
}

static int import(Copy *what, Renumbering *numbers, ErrorText *error)
{
    int r = copy(what, error);

    if (r < 0)
        return r;
    state_each_fd(what->to, renumber_one, numbers);
    return numbers->lacking < 0
               ? 0
               : error_set(error, -EBADF, "descriptor %d of the state has not come with it",
                           numbers->lacking);
}

static int import_into(int fd, int from_fd, const State *from, Renumbering *numbers,
                       ErrorText *error)
{
    State to;
    Copy copy = {&to, from, fd, from_fd, 0};
    int r = state_new(&to, fd, from->max_clients, from->max_vectors);

    if (r < 0)
        return error_set(error, r, "no room for the state: %s", strerror(-r));
    r = import(&copy, numbers, error);
    state_free(&to);
    return r;
}

int ivshmem_server_import(int to, int from, int (*renumber)(void *opaque, int fd), void *opaque,
                          char why[IVSHMEM_SERVER_ERROR_SIZE])
{
    Renumbering numbers = {renumber, opaque, -1};
    ErrorText error;
    State old;
    int r = state_open(&old, from, &error);

    if (r == 0) {
        r = import_into(to, from, &old, &numbers, &error);
        state_free(&old);
    }
    if (r < 0)
        (void)snprintf(why, IVSHMEM_SERVER_ERROR_SIZE, "%.*s", IVSHMEM_SERVER_ERROR_SIZE - 1,
                       error.text);
    return r;
}
