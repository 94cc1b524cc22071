/* SPDX-License-Identifier: MIT */
/*
 * Who has something to hear, and sending it to him.
 *
 * There is no queue of messages. Each client is in exactly one of these sets, or in none if it has
 * been told everything:
 *
 * - ready: there may be news for it, and its socket may take them;
 * - blocked: its socket is full (or parked, flight.h): EPOLLOUT makes it ready again;
 * - later: the kernel lacked something else: TIMER_RETRY makes it ready again;
 * - returning: a process before this one has left it (recover.h): it is not polled yet, and how
 * much of what it was sent is unread is not known. recover_turn() makes it ready.
 *
 * The ready clients are served in the order of their slots, round and round, a batch each; a turn
 * of the loop ends after OUTBOX_TURN messages, and the next goes on where it stopped.
 */
#pragma once

#include "server/plan.h"
#include "server/state.h"
#include "util/fdpass.h"

#define OUTBOX_TURN     128               /* messages: some 0.2 ms */
#define OUTBOX_RETRY_NS INT64_C(10000000) /* 10 ms after the kernel lacked something */

struct ServerCore;

typedef struct Outbox {
    uint64_t *ready, *blocked, *later, *returning; /* sets of slots */
    uint32_t n_slots;
    uint32_t n_returning; /* in that set: none, but for a moment after a process has gone on */
    uint32_t next;        /* slot at which the round goes on */
    int memory_fd;        /* opened for one client, while the batch has it; -1 */
} Outbox;

/** @return 0 or -ENOMEM */
int outbox_new(Outbox *outbox, uint32_t n_slots);
void outbox_free(Outbox *outbox);

/** The client is new: it has everything to hear. */
void outbox_add(Outbox *outbox, uint32_t slot);
void outbox_remove(Outbox *outbox, uint32_t slot);

/** The client is one that another process has left. */
void outbox_return(Outbox *outbox, uint32_t slot);

/** The world has changed: everybody whose socket may take something is ready. */
void outbox_wake_all(Outbox *outbox, const State *state);

/** The client's socket takes messages again. */
void outbox_unblock(struct ServerCore *core, uint32_t slot);

/** What could not be sent for a lack of resources is to be tried again. */
void outbox_retry(Outbox *outbox);

/** Whether a turn would find a client to serve. */
bool outbox_has_work(const Outbox *outbox);

/**
 * Sends the client one batch at most.
 *
 * @return the number of messages sent, or a negative errno: it cannot be reached any more
 */
int outbox_send(struct ServerCore *core, uint32_t slot);

/** Takes back all steps of the batch but the first `sent`; none is on its way any more. */
void outbox_take_back(struct ServerCore *core, uint32_t sent);

/** One turn: serves ready clients until OUTBOX_TURN messages have been sent. Closes those that
 *  cannot be reached. */
void outbox_turn(struct ServerCore *core);
