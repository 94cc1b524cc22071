/* SPDX-License-Identifier: MIT */
/*
 * Clients of one server that come, go, stall and ring each other, each of them followed byte by
 * byte (follower.h). None of them breaks the protocol: a connection that ends is the server's
 * fault.
 *
 * When the crowd settles, everybody must know exactly those who are there, have the same memory,
 * and be rung by each other, on the vector that was rung.
 */
#pragma once

#include "../lib/follower.h"

#include <stdint.h>
#include <sys/types.h>

#define CROWD_IDS 4096 /* far more than clients of a short life ever use up */

typedef struct CrowdClient {
    Follower follower; /* sock is -1: there is no client here */
    int64_t came_at;   /* CLOCK_MONOTONIC, ns; 0: it waits for no first answer */
    bool stalls;       /* it does not read for now */
} CrowdClient;

typedef struct Crowd {
    const char *path;
    unsigned n_vectors, n_clients; /* [n_clients] places, some of them empty */
    CrowdClient *clients;
    bool drops_fds;                        /* nobody rings: there would be too many descriptors */
    uint64_t random;                       /* state of the generator, not 0 */
    uint64_t n_joins, n_messages, n_rings; /* so far */
    int64_t longest_wait;                  /* for the first three messages, ns */
} Crowd;

/** Ends the program with a line on standard error: the server has done something wrong. */
__attribute__((noreturn, format(printf, 1, 2))) void crowd_fail(const char *format, ...);

/** A crowd of empty places. */
void crowd_init(Crowd *crowd, const char *path, unsigned n_clients, unsigned n_vectors,
                uint64_t seed);

/** All leave. */
void crowd_free(Crowd *crowd);

/** A number below n. */
uint32_t crowd_random(Crowd *crowd, uint32_t n);

/** Connects the client, which must not be there. */
void crowd_join(Crowd *crowd, CrowdClient *client);

/** Its connection ends. */
void crowd_leave(CrowdClient *client);

/** Reads up to `most` messages of the client. @return how many there were */
unsigned crowd_read(Crowd *crowd, CrowdClient *client, unsigned most);

/** Somebody, chosen at random, comes, goes, stalls, reads, or rings somebody else. */
void crowd_step(Crowd *crowd);

/** Everybody reads until all is as it must be; fails if it is not within 20 seconds. */
void crowd_settle(Crowd *crowd);

/** How many clients are there. */
unsigned crowd_count(const Crowd *crowd);
