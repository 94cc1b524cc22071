/* SPDX-License-Identifier: MIT */
/*
 * Those who wait for reading together.
 *
 * A client that has been sent what it may have before it reads (flight.h) is told to be ready again
 * by EPOLLOUT once it is parked, which takes four system calls and, with a server that is faster
 * than its readers, a wake-up for each batch. When many wait, as after a burst of joins, one of
 * them does that for all: the others are in a queue, in the order in which they were sent
 * something, and one that is a little behind its head is parked. It is the marker. When it has
 * read, those ahead of it most likely have, too; and those behind it have something left to read
 * while they are served.
 *
 * Nobody relies on the marker: if it has not read after PACE_NS, all who wait are looked at
 * nevertheless, it is one that is parked like others, and for PACE_REST_NS so is everybody. So
 * whoever does not read holds others up for a hundredth of the time at most. And he who reads a
 * moment before PACE_NS holds up PACE_AHEAD clients: that is no more than five times what it takes
 * to send them what they wait for. Nor does anybody stay in the queue who does not read: who is
 * looked at and has read nothing since he came here is parked. So the queue and its timer come to
 * an end.
 */
#pragma once

#include "util/bitmap.h"

#include <stdint.h>

#define PACE_NS      INT64_C(10000000)   /* until a marker is given up */
#define PACE_REST_NS INT64_C(1000000000) /* from then on nobody is put into the queue */
#define PACE_AHEAD   16 /* at most, of the marker: a batch takes readers some 0.1 ms */
#define PACE_MANY    8  /* who wait: then who may be sent little waits, too */

#define PACE_NO_MARKER (-1)

typedef struct Pace {
    uint64_t *waiting; /* set of slots: who is in the queue */
    uint64_t *waited;  /* who has been in it since he was sent something */
    uint32_t n_slots, n_waiting;
    uint32_t *after, *before; /* in the queue; its ends are next to n_slots */
    int64_t marker;           /* a slot that is not in the queue any more; PACE_NO_MARKER */
    int64_t marked_at;        /* CLOCK_MONOTONIC, ns */
    int64_t rests_until;      /* the same clock; 0: it does not rest */
    uint32_t n_ahead;         /* were ahead of the marker */
} Pace;

/** @return 0 or -ENOMEM */
int pace_new(Pace *pace, uint32_t n_slots);
void pace_free(Pace *pace);

/** Puts a client at the end of the queue, who is not in it. */
void pace_add(Pace *pace, uint32_t slot);

/** Takes it out, if it is there. It is no marker either. */
void pace_remove(Pace *pace, uint32_t slot);

/** Who is first, of at least one. */
uint32_t pace_first(const Pace *pace);

/** Who of them is to be the marker. */
uint32_t pace_choose(Pace *pace);

/** It has become that. */
void pace_mark(Pace *pace, uint32_t slot, int64_t now);

/** The client has been sent something, or is another. */
static inline void pace_forget(Pace *pace, uint32_t slot)
{
    bitmap_clear(pace->waited, slot);
}
