/* SPDX-License-Identifier: MIT */
/*
 * Descriptors on their way from one process to another, with the numbers that they have in the
 * first: messages over a Unix stream socket, each with up to FDPASS_MAX_FDS of them. The sender may
 * be gone when they are received, as long as somebody holds the socket.
 *
 * A message: how many descriptors follow in later ones, a zero, and the number of each of its own,
 * 32 bits each in the machine's order. Both ends are on one machine. A parcel of no descriptors is
 * a message, too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Which descriptor of this process one of another's is. All zero is an empty one. */
typedef struct Parcel {
    int32_t *here; /* by its number there; -1: none came */
    uint32_t n;
    uint32_t n_fds;
    uint32_t n_came; /* descriptors, ever */
    bool is_renewed; /* a number that comes again stands for the later one; else that is wrong */
} Parcel;

/**
 * Sends as many as the socket takes, without waiting.
 *
 * @param fds  in the order of sending; borrowed
 * @return how many of them were sent, at least 1 of a number above 0, or a negative errno: -EAGAIN
 *         (the socket is full), -ETOOMANYREFS (too many descriptors are on their way)
 */
int parcel_send(int sock, const int *fds, uint32_t n);

/**
 * Receives one message, without waiting.
 *
 * @param left  set to how many descriptors are to come
 * @return 0 or a negative errno: -EAGAIN, -ECONNRESET (the sender has gone), -EBADMSG (it is no
 *         such message, a number came twice, or this process has no room for the descriptors)
 */
int parcel_receive(Parcel *parcel, int sock, uint32_t *left);

/**
 * Receives all messages that are in the queue, without waiting, and leaves them there for another
 * time.
 *
 * @param n_fds  raised to how many descriptors there are in all, as far as the messages tell
 * @return 0 or a negative errno as of parcel_receive()
 */
int parcel_peek(Parcel *parcel, int sock, uint32_t *n_fds);

/** Makes room for numbers below this, so that it need not be made when descriptors come. */
void parcel_expect(Parcel *parcel, uint32_t number);

/** Takes a descriptor out, by its number there. @return the caller's, or -1: none came */
int parcel_take(Parcel *parcel, int there);

/** Which one it is; it stays the parcel's. */
int parcel_at(const Parcel *parcel, int there);

/** Leaves those that nobody took open. */
void parcel_leave(Parcel *parcel);

/** Closes those that nobody took. */
void parcel_free(Parcel *parcel);
