/* SPDX-License-Identifier: MIT */
/*
 * pong: answers the pings of others. It writes nothing unless a ping has marked the block.
 *
 * A ping that spins wants the pong to spin too; it does until the ping has ended, or is late by a
 * second, as one that was killed always is.
 */
#include "tools/client/link.h"

#include "util/cleanup.h"
#include "util/signals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Answers what `ping` says. Returns whether there was a ping. */
static bool answer(Link *link, uint64_t number)
{
    LinkBlock *block = link->block;

    if (number == 0 || atomic_load(&block->magic) != LINK_MAGIC)
        return false;
    if (number == block->base + 1) {
        block->pong_id = (uint32_t)ivshmem_port_id(link->port);
        block->pong_vectors = ivshmem_port_n_vectors(link->port);
    }
    atomic_store_explicit(&block->pong, number, memory_order_release);
    if (!block->spins) /* should it have left meanwhile, nobody is waiting */
        (void)ivshmem_port_ring(link->port, block->id, block->vector);
    return true;
}

static int serve(Link *link, const ToolOptions *options)
{
    LinkBlock *block = link->block;
    uint64_t seen = 0, answered = 0;
    bool spins = false;

    while (!options->count || answered < options->count) {
        int patience = spins ? (int)block->idle_ms : options->timeout_ms;
        int result = link_await(link, &block->ping, seen, spins, patience);

        if (result == -EINTR)
            return STATUS_OK;
        if (result == 0 && !spins)
            return STATUS_TIMEOUT;
        if (result == 0) {
            spins = false; /* it sleeps now, and looks no more */
            continue;
        }
        seen = atomic_load_explicit(&block->ping, memory_order_acquire);
        if (answer(link, seen)) {
            answered++;
            spins = block->spins;
        } else {
            spins = false;
        }
    }
    return STATUS_OK;
}

int run_pong(const ToolOptions *options)
{
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    _cleanup_close_ int signals = -1;
    Link link;

    if (tool_open(&port, options, NULL) != STATUS_OK)
        return STATUS_ERROR;
    signals = signals_open(0);
    if (signals < 0)
        return tool_error("cannot wait for signals: %s", strerror(-signals));
    if (link_init(&link, port, options, signals) != STATUS_OK)
        return STATUS_ERROR;
    (void)printf("ready id=%d vectors=%u\n", ivshmem_port_id(port), ivshmem_port_n_vectors(port));
    (void)fflush(stdout);
    link_start(); /* for as long as this process lives */
    return serve(&link, options);
}
