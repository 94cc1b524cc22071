/* SPDX-License-Identifier: MIT */
/*
 * What another process needs to go on: descriptors. Those of clients can be passed ahead, while the
 * server goes on, for they do not change as long as the client is connected. Whether they have been
 * is a mark in the client's record, which a newcomer in the same slot does not have. So the marks
 * tell both sides, at the end, what is still to be passed, and which of what was passed is of
 * clients that have left.
 */
#include "ivshmem-server.h"
#include "server/core.h"

typedef struct Visitor {
    void (*named)(void *opaque, int fd);
    void *opaque;
    bool only_left;
    uint32_t n;
} Visitor;

/* NOLINTNEXTLINE(readability-non-const-parameter): others that visit them renumber them */
static void name_fd(void *opaque, int32_t *fd, bool passed)
{
    Visitor *visitor = opaque;

    if (passed && visitor->only_left)
        return;
    visitor->named(visitor->opaque, *fd);
    visitor->n++;
}

static void name_each(const ServerCore *core, Visitor *visitor)
{
    state_each_fd(&core->state, name_fd, visitor);
    lobby_each_fd(&core->lobby, visitor->named, visitor->opaque);
}

void ivshmem_server_each_fd(const IvshmemServer *server, void (*named)(void *opaque, int fd),
                            void *opaque)
{
    Visitor visitor = {named, opaque, false, 0};

    name_each(server->core_, &visitor);
}

void ivshmem_server_each_fd_left(const IvshmemServer *server, void (*named)(void *opaque, int fd),
                                 void *opaque)
{
    Visitor visitor = {named, opaque, true, 0};

    name_each(server->core_, &visitor);
}

void ivshmem_server_pass_begin(IvshmemServer *server)
{
    const State *state = &server->core_->state;

    for (uint32_t slot = 0; slot < state->header->slot_limit; slot++)
        state->clients[slot].passed = false;
}

static uint32_t n_fds_of(const Client *client)
{
    return (client->sock_fd >= 0) + client->n_vectors;
}

uint32_t ivshmem_server_pass(IvshmemServer *server, uint32_t most,
                             void (*named)(void *opaque, int fd), void *opaque)
{
    const State *state = &server->core_->state;
    Visitor visitor = {named, opaque, true, 0};
    uint32_t slot;

    BITMAP_FOREACH(slot, state->slots, state->header->slot_limit) {
        if (n_fds_of(&state->clients[slot]) > most - visitor.n)
            continue;
        state_each_fd_of(state, slot, name_fd, &visitor);
        state->clients[slot].passed = true;
    }
    return visitor.n;
}
