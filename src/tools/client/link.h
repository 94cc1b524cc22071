/* SPDX-License-Identifier: MIT */
/*
 * What a ping and its pong share: a block of the memory, and how they wait for each other.
 *
 * The ping owns the block: it fills the first line in, and all is zeros again when it has ended. A
 * ping is `ping` counting up, followed by a doorbell; the answer is `pong` taking its value, and a
 * doorbell back. The counters are in cache lines of their own. Who spins rings no doorbells, but
 * the ping rings the first one, and again when it has waited for LINK_AGAIN_MS: the pong may sleep.
 */
#pragma once

#include "tools/client/tool.h"

#include <stdatomic.h>

#define LINK_BLOCK_SIZE 256                          /* bytes that are used, from the offset on */
#define LINK_ALIGN      64                           /* of the offset */
#define LINK_MAGIC      UINT64_C(0x676e69706d687376) /* the bytes "vshmping", while a ping runs */
#define LINK_AGAIN_MS   100

typedef struct LinkBlock {
    _Alignas(64) _Atomic uint64_t magic;
    uint32_t id;      /* whom the pong has to ring, */
    uint32_t vector;  /* and how */
    uint32_t spins;   /* do not ring: look */
    uint32_t idle_ms; /* so long there may be no ping, while it spins */
    uint64_t base;    /* the first ping is this and 1; no two runs have the same */
    _Alignas(64) _Atomic uint64_t ping;
    _Alignas(64) _Atomic uint64_t pong;
    uint32_t pong_id; /* both are there with the first pong */
    uint32_t pong_vectors;
} LinkBlock;

_Static_assert(sizeof(LinkBlock) <= LINK_BLOCK_SIZE, "the block holds it");

typedef struct Link {
    IvshmemPort *port;
    LinkBlock *block;
    uint64_t offset;
    unsigned vector; /* of ours, that is rung for it */
    int signals;     /* a descriptor that is readable when it is to end */
    unsigned n_waits;
} Link;

/** Finds the block for an open port and checks the vector. Errors are shown. */
int link_init(Link *link, IvshmemPort *port, const ToolOptions *options, int signals);

/**
 * Whether nothing that somebody wrote is where a ping would write: not in the block if its offset
 * was told, and not in the whole memory otherwise. It is shown if there is.
 */
int link_check_empty(const Link *link, const ToolOptions *options);

/** From now on until link_stop(), a SIGALRM ten times a second ends each wait that finds nothing,
 * and any other poll of this process too, with EINTR. */
void link_start(void);
void link_stop(void);

/**
 * Waits until a counter is no longer what it was: after doorbells, or spinning, or, where there are
 * no interrupts, looking every now and then. Between link_start() and link_stop().
 *
 * @param timeout_ms milliseconds; negative waits for ever. It may take up to twice as long if other
 *                   things happen
 * @return 1, 0 if the time is up, -EINTR if it is to end
 */
int link_await(Link *link, const _Atomic uint64_t *counter, uint64_t was, bool spin,
               int timeout_ms);
