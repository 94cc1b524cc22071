/* SPDX-License-Identifier: MIT */
/*
 * For tests only: the server's end of a socket pair, to send a client whatever a test wants, and
 * the client with what its callbacks have been told. Each test is checked for leaked descriptors.
 */
#pragma once

#include "ivshmem-client.h"
#include "util/cleanup.h"
#include "util/fdpass.h"
#include "util/testing.h"
#include "wire/message.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define FAKE_MEMORY_SIZE 8192
#define FAKE_WAIT_MS     10000 /* for what must happen; no test waits as long as that */

typedef struct Fake {
    int open_before;
    int sock;        /* the server's end; -1 when it has hung up */
    int client_sock; /* the other one, until the client takes it */
    int memory;
    int event; /* an eventfd to send */
    IvshmemClient client;
    char told[256]; /* by callbacks: "+1:2 " for peer 1 with 2 vectors, "-1 ", "!0 " for a ring */
} Fake;

__attribute__((format(printf, 2, 3))) static inline void fake_tell(Fake *fake, const char *format,
                                                                   ...)
{
    size_t n = strlen(fake->told);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(fake->told + n, sizeof(fake->told) - n, format, arguments);
    va_end(arguments);
}

static inline void fake_on_ring(const IvshmemClient *client, const IvshmemClientPeer *peer,
                                unsigned vector, void *arg)
{
    assert_ptr_equal(peer, &client->local);
    fake_tell(arg, "!%u ", vector);
}

static inline void fake_on_connected(const IvshmemClient *client, const IvshmemClientPeer *peer,
                                     void *arg)
{
    (void)client;
    fake_tell(arg, "+%d:%u ", (int)peer->id, peer->vectors_count);
}

static inline void fake_on_left(const IvshmemClient *client, const IvshmemClientPeer *peer,
                                void *arg)
{
    (void)client;
    fake_tell(arg, "-%d ", (int)peer->id);
}

static inline int fake_setup(void **state)
{
    static Fake fake;
    int ends[2];

    memset(&fake, 0, sizeof(fake));
    fake.open_before = count_open_fds();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fake.sock = ends[0];
    fake.client_sock = ends[1];
    fake.memory = memfd_create("fake", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fake.memory, FAKE_MEMORY_SIZE), 0);
    fake.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(ivshmem_client_init(&fake.client, "unused", fake_on_ring, &fake, false), 0);
    ivshmem_client_set_peer_callbacks(&fake.client, fake_on_connected, fake_on_left, &fake);
    *state = &fake;
    return 0;
}

static inline int fake_teardown(void **state)
{
    Fake *fake = *state;

    ivshmem_client_close(&fake->client);
    fd_close(fake->sock);
    fd_close(fake->client_sock);
    fd_close(fake->memory);
    fd_close(fake->event);
    assert_int_equal(count_open_fds(), fake->open_before);
    return 0;
}

/* Sends a message, with a descriptor unless that is -1. */
static inline void fake_send(Fake *fake, int64_t value, int fd)
{
    uint8_t bytes[WIRE_MESSAGE_SIZE];

    wire_encode(bytes, value);
    assert_int_equal(fdpass_send(fake->sock, bytes, sizeof(bytes), &fd, fd >= 0), sizeof(bytes));
}

static inline void fake_send_vectors(Fake *fake, int64_t id, unsigned n)
{
    while (n-- > 0)
        fake_send(fake, id, fake->event);
}

static inline void fake_send_start(Fake *fake, int64_t own_id)
{
    fake_send(fake, 0, -1);
    fake_send(fake, own_id, -1);
    fake_send(fake, -1, fake->memory);
}

/* Connects the client, which is told that its ID is 0. */
static inline void fake_connect(Fake *fake)
{
    fake_send_start(fake, 0);
    assert_int_equal(
        ivshmem_client_connect_fd(&fake->client, fd_steal(&fake->client_sock), FAKE_WAIT_MS), 0);
}

static inline void fake_hang_up(Fake *fake)
{
    fake->sock = fd_close(fake->sock);
}

/* Waits until there is something for the client, and dispatches. */
static inline int fake_dispatch(Fake *fake)
{
    struct pollfd poll_fd = {.fd = ivshmem_client_get_fd(&fake->client), .events = POLLIN};

    assert_int_equal(poll(&poll_fd, 1, FAKE_WAIT_MS), 1);
    return ivshmem_client_dispatch(&fake->client);
}

static inline void fake_expect(Fake *fake, const char *told)
{
    assert_string_equal(fake->told, told);
    fake->told[0] = 0;
}
