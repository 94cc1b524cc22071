/* SPDX-License-Identifier: MIT */
/* A state that another process has written, copied for this one. */
#include "ivshmem-server.h"
#include "server/state-check.h"
#include "server/view.h"
#include "util/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef enum ImportStage {
    IMPORT_ONCE,
    IMPORT_BEGIN,
    IMPORT_END,
} ImportStage;

struct IvshmemServerImport {
    ImportStage stage;
    State to, from; /* laid out alike */
    int from_fd;
    int error; /* a negative errno, of the copying */
};

/* Through the other's mapping, each page would be a fault. */
static void read_part(IvshmemServerImport *import, char *part, size_t size, off_t offset)
{
    pages_make(part, size);
    while (size > 0 && import->error == 0) {
        ssize_t n = pread(import->from_fd, part, size, offset);

        if (n <= 0) {
            import->error = n < 0 ? -errno : -EBADMSG;
            return;
        }
        part += n;
        offset += n;
        size -= (size_t)n;
    }
}

/* What has been copied before is mapped on both sides, and takes no call. */
static void copy_part(IvshmemServerImport *import, void *part, size_t size)
{
    off_t offset = (char *)part - (char *)import->to.base;
    char *from = (char *)import->from.base + offset;

    if (import->stage == IMPORT_END) {
        memcpy(part, from, size);
        return;
    }
    read_part(import, part, size, offset);
    if (import->stage == IMPORT_BEGIN)
        (void)pages_touch(from, size, NULL);
}

static bool copy_view(void *opaque, const void *part, size_t size)
{
    IvshmemServerImport *import = opaque;

    copy_part(import, (void *)(uintptr_t)part, size);
    return import->error == 0;
}

/* Copies what recover() does not make anew. The other process can still write to its state: what is
 * looked at is in the copy alone, which nobody else sees. */
static int copy(IvshmemServerImport *import, ErrorText *error)
{
    const State *to = &import->to;
    StateHeader header = *import->from.header;
    size_t slots = header.slot_limit;

    if (slots > to->max_clients || header.listener_limit > LISTENERS_MAX ||
        header.id_limit > WIRE_N_IDS)
        return error_set(error, -EBADMSG, "the state is damaged: its header is wrong");
    header.max_clients = to->max_clients;
    header.max_vectors = to->max_vectors;
    header.size = to->size;
    *to->header = header;
    import->error = 0;
    copy_part(import, to->clients, slots * sizeof(*to->clients));
    copy_part(import, to->listeners, header.listener_limit * sizeof(*to->listeners));
    copy_part(import, to->batch, sizeof(*to->batch));
    copy_part(import, to->eventfds, slots * header.max_vectors * sizeof(*to->eventfds));
    if (import->error < 0 || !view_each_part(to, to->header->slot_limit, copy_view, import))
        return error_set(error, import->error, "the state cannot be copied: %s",
                         strerror(-import->error));
    return state_check(to, WIRE_N_IDS, error);
}

typedef struct Renumbering {
    int (*renumber)(void *opaque, int fd, bool passed);
    void *opaque;
    int lacking; /* a descriptor that did not come with the state; -1: none */
} Renumbering;

static void renumber_one(void *opaque, int32_t *fd, bool passed)
{
    Renumbering *numbers = opaque;
    int there = *fd;

    *fd = numbers->renumber(numbers->opaque, there, passed);
    if (*fd < 0)
        numbers->lacking = there;
}

/* The copy's descriptors are this process's, which has passed none of them to anybody. */
static int renumber_all(const State *to, Renumbering *numbers, ErrorText *error)
{
    state_each_fd(to, renumber_one, numbers);
    for (uint32_t slot = 0; slot < to->header->slot_limit; slot++)
        to->clients[slot].passed = false;
    return numbers->lacking < 0
               ? 0
               : error_set(error, -EBADF, "descriptor %d of the state has not come with it",
                           numbers->lacking);
}

void ivshmem_server_import_free(IvshmemServerImport *import)
{
    if (!import)
        return;
    state_free(&import->to);
    state_free(&import->from);
    free(import);
}

static int open_both(IvshmemServerImport *import, int to, int from, ErrorText *error)
{
    int r = state_open(&import->from, from, error);

    if (r < 0)
        return r;
    r = state_new(&import->to, to, import->from.max_clients, import->from.max_vectors);
    if (r < 0)
        return error_set(error, r, "no room for the state: %s", strerror(-r));
    /* What this process starts meanwhile has no use for them. */
    (void)madvise(import->to.base, import->to.size, MADV_DONTFORK);
    (void)madvise(import->from.base, import->from.size, MADV_DONTFORK);
    import->from_fd = from;
    return 0;
}

static IvshmemServerImport *import_new(int to, int from, int *r, ErrorText *error)
{
    IvshmemServerImport *import = calloc(1, sizeof(*import));

    *r = import ? open_both(import, to, from, error)
                : error_set(error, -ENOMEM, "no memory for the state");
    if (*r == 0)
        return import;
    ivshmem_server_import_free(import);
    return NULL;
}

static void tell(char why[IVSHMEM_SERVER_ERROR_SIZE], const ErrorText *error)
{
    (void)snprintf(why, IVSHMEM_SERVER_ERROR_SIZE, "%.*s", IVSHMEM_SERVER_ERROR_SIZE - 1,
                   error->text);
}

IvshmemServerImport *ivshmem_server_import_begin(int to, int from)
{
    ErrorText error;
    int r;
    IvshmemServerImport *import = import_new(to, from, &r, &error);

    if (!import)
        return NULL;
    /* It may change under our hands: what counts is the last time. The second is a rehearsal of
     * that, after which this process has touched every page. */
    import->stage = IMPORT_BEGIN;
    (void)copy(import, &error);
    import->stage = IMPORT_END;
    (void)copy(import, &error);
    return import;
}

bool ivshmem_server_import_is_of(const IvshmemServerImport *import, int from)
{
    return state_is_of(&import->from, from);
}

int ivshmem_server_import_end(IvshmemServerImport *import,
                              int (*renumber)(void *opaque, int fd, bool passed), void *opaque,
                              char why[IVSHMEM_SERVER_ERROR_SIZE])
{
    Renumbering numbers = {renumber, opaque, -1};
    ErrorText error;
    int r = copy(import, &error);

    if (r == 0)
        r = renumber_all(&import->to, &numbers, &error);
    if (r < 0)
        tell(why, &error);
    return r;
}

int ivshmem_server_import(int to, int from, int (*renumber)(void *opaque, int fd, bool passed),
                          void *opaque, char why[IVSHMEM_SERVER_ERROR_SIZE])
{
    ErrorText error;
    int r;
    IvshmemServerImport *import = import_new(to, from, &r, &error);

    if (import)
        r = ivshmem_server_import_end(import, renumber, opaque, why);
    else
        tell(why, &error);
    ivshmem_server_import_free(import);
    return r;
}
