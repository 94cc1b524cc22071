/* SPDX-License-Identifier: MIT */
/*
 * Many clients that read what they are sent, in one process and one loop, in batches: the same for
 * the server and for every floor, so that neither is helped by a quicker reader.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Reader {
    int epoll_fd;
    bool takes_fds;    /* receives and closes descriptors; otherwise the kernel drops them */
    uint64_t messages; /* read so far, by all */
} Reader;

void reader_init(Reader *reader, bool takes_fds);
void reader_free(Reader *reader);

/** Reads from the socket, too, from now on. The socket stays the caller's. */
void reader_add(Reader *reader, int sock);

/**
 * Reads until `messages` have come in all, or until nothing has come for a while (ns).
 *
 * @return whether they have come
 */
bool reader_until(Reader *reader, uint64_t messages, int64_t patience);

/** How many messages `n` clients with so many vectors get when they come and all stay. */
static inline uint64_t reader_expected(uint64_t n, uint64_t n_vectors)
{
    return n * (3 + n_vectors) + n * (n ? n - 1 : 0) * n_vectors;
}
