/* SPDX-License-Identifier: MIT */
/*
 * Where a process that has been started ahead waits until it is to be the worker. It is in
 * memory that the keeper shares with all that it starts. Each of them has a number, one higher than
 * the last one's, and the gate is opened for one number after the other. So one that looks late
 * still finds it open, and a later one finds it closed.
 */
#pragma once

#include "daemon/process/keeper.h"

#include <stdint.h>

/** To be called once, by the keeper. @return 0 or a negative errno */
int gate_make(void);

/** Lets the process with this number go on, with this task: 1 or one higher than the last that was
 * let in, or more if some have ended before. */
void gate_open(uint32_t number, KeeperTask task);

/** Whether the process with this number, or one with a higher number, has come to the gate, and has
 * heard every call. */
bool gate_is_reached(uint32_t number);

/** Has those who wait look ahead again. Does nothing if there is no gate. */
void gate_call(void);

/** A call from here on is for this process, too, which has that number: to be called before it
 * looks ahead. */
void gate_listen(uint32_t number);

/** Whether the process that listens is let in. */
bool gate_is_open(void);

/** Waits, however long, until this process is let in, or called. @param task  set if it is let in
 *  @return whether it is */
bool gate_wait(uint32_t number, KeeperTask *task);

/** The process with this number is through, and can take the worker's signals. */
void gate_pass(uint32_t number);

/** Whether it has said so, or one with a higher number. */
bool gate_is_passed(uint32_t number);

/** What has happened, ever (keeper.h). */
typedef enum GateMark {
    GATE_SERVED = 1,
    GATE_READY = 2,
    GATE_TOLD = 4,
} GateMark;

/** Does nothing if there is no gate. */
void gate_mark(GateMark mark);

/** Whether it has; false if there is no gate. */
bool gate_has(GateMark mark);
