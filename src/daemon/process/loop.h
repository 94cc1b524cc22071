/* SPDX-License-Identifier: MIT */
/*
 * The daemon's loop: level-triggered epoll, and a handler for each descriptor.
 *
 * A handler lies in the object that it serves. An object that goes while a batch of events is being
 * handled may still be named by a later event of the batch: so it is retired, which stops its
 * events at once, and destroyed when the batch is over.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct LoopHandler LoopHandler;

struct LoopHandler {
    int fd; /* the owner's */
    void (*ready)(void *owner, uint32_t events);
    void (*destroy)(void *owner); /* after it was retired */
    void *owner;
    LoopHandler *next_retired;
    bool retired;
};

typedef struct Loop {
    int epoll_fd;
    bool stopped;
    uint64_t turn; /* the batch of events that is being handled, counted from 1 */
    LoopHandler *retired;
} Loop;

#define LOOP_NONE ((Loop){.epoll_fd = -1})

/** @return 0 or a negative errno */
int loop_init(Loop *loop);

/** Destroys what was retired. Handlers that are there stay their owners'. */
void loop_free(Loop *loop);

/** Calls handler->ready whenever its fd has one of these events (EPOLLIN, ...). @return 0 or a
 * negative errno */
int loop_add(Loop *loop, LoopHandler *handler, uint32_t events);

/** Waits for other events from now on. */
void loop_change(Loop *loop, const LoopHandler *handler, uint32_t events);

/** No event reaches the handler any more; its owner is destroyed later. */
void loop_retire(Loop *loop, LoopHandler *handler);

/** Handles the events that there are, after waiting for one, up to loop_stop(). @param timeout_ms
 * for that; -1: without limit @return 0 or a negative errno */
int loop_turn(Loop *loop, int timeout_ms);

/** Handles events until loop_stop(). @return 0 or a negative errno */
int loop_run(Loop *loop);

/** No handler is called any more, not even for the other events of the batch. */
void loop_stop(Loop *loop);
