/* SPDX-License-Identifier: MIT */
/* A fixture for tests of what goes through sockets: two that are connected, and a descriptor to
 * pass. None may be left open that was not before. */
#pragma once

#include "util/cleanup.h"
#include "util/testing.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

typedef struct Pair {
    int ends[2];
    int event_fd;
    int open_before;
} Pair;

static inline int open_pair(void **state)
{
    static Pair pair;

    pair.open_before = count_open_fds();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.ends), 0);
    pair.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(pair.event_fd >= 0);
    *state = &pair;
    return 0;
}

static inline int close_pair(void **state)
{
    Pair *pair = *state;

    fd_close(pair->ends[0]);
    fd_close(pair->ends[1]);
    fd_close(pair->event_fd);
    assert_int_equal(count_open_fds(), pair->open_before);
    return 0;
}
