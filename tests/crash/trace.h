/* SPDX-License-Identifier: MIT */
/*
 * Another process, stopped where a test wants it: at its system calls, or after each instruction.
 *
 * ptrace() as of Linux 4.8: the stop before a system call comes before seccomp looks at it. A
 * process that is killed in that stop does not make the call.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/** How far to let it run. */
typedef enum TraceStep {
    TRACE_CALL,        /* to the next beginning or end of a system call */
    TRACE_INSTRUCTION, /* one instruction; of a system call, all of it */
} TraceStep;

/** Begins to trace a process, and stops it. */
void trace_begin(pid_t pid);

/** Has the next process that this one starts traced from its first instruction on. */
void trace_parent(pid_t parent);

/** Waits for that process, which is stopped then; its parent is traced no more. */
pid_t trace_child(pid_t parent);

/** Lets it go on. False if it goes to sleep instead of stopping, and is still asleep. */
bool trace_step(pid_t pid, TraceStep step);

/** Kills it where it is, and waits until it has gone. */
void trace_kill(pid_t pid);

/** Lets it go. */
void trace_end(pid_t pid);
