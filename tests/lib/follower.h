/* SPDX-License-Identifier: MIT */
/*
 * Follows every byte that a client receives and holds the server to the protocol, from the client's
 * side. It knows nothing of the server's code.
 *
 * What it asserts: the three first messages, in order, with a descriptor on the third alone; every
 * other message is an ID; the vectors of an ID come in one go and complete, or end with its
 * departure; a departure comes once, and only of an ID that was announced; an ID that has gone
 * never comes again; the client's own vectors come once, complete, in one go, and it never hears of
 * its own departure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FOLLOWER_IDS 65536

typedef enum FollowerPeerState {
    PEER_UNKNOWN,
    PEER_TELLING,
    PEER_TOLD,
    PEER_GONE,
} FollowerPeerState;

typedef struct FollowerPeer {
    FollowerPeerState state;
    unsigned n_vectors;
    int *vectors; /* [n_vectors] of the follower */
} FollowerPeer;

typedef struct Follower {
    int sock;
    unsigned n_vectors; /* that every peer must have */
    unsigned n_ids;     /* IDs must be below */
    uint64_t n_messages;
    int64_t id;          /* -1 until it is known */
    int64_t telling;     /* the ID that has been told of in part; -1: none */
    int memory_fd;       /* -1 until it has come */
    bool observer;       /* its own ID is no peer's: it may be above n_ids */
    unsigned n_own;      /* its own vectors, as an observer */
    bool set_up;         /* its own vectors are complete */
    bool drops_fds;      /* others' vectors are closed as they come, and -1: it can ring nobody */
    bool ended;          /* the server has closed the connection */
    FollowerPeer *peers; /* [n_ids] */
    char wrong[256];     /* what broke the rules; empty if nothing did */
} Follower;

/** Takes the socket over. False if there is no memory. */
bool follower_init(Follower *follower, int sock, unsigned n_vectors, unsigned n_ids);
void follower_free(Follower *follower);

/**
 * Reads up to `most` messages, as far as there are any.
 *
 * @return the number of messages, or -1 if the rules were broken: follower->wrong says how
 */
int follower_read(Follower *follower, unsigned most);
