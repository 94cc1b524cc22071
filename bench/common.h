/* SPDX-License-Identifier: MIT */
/*
 * What the benchmarks share: failing, time, and how much of the machine another process has used.
 * A benchmark that cannot measure ends with a message and status 1: there is nothing to hand on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NS_PER_S INT64_C(1000000000)

/** Ends the program with a line on stderr, and with errno's text if errno is not 0. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/** The number in an argument of the command line, which must be min to max. */
int64_t argument(const char *text, int64_t min, int64_t max);

/** CLOCK_MONOTONIC, in ns. */
int64_t now_ns(void);
void sleep_until(int64_t when);

/** As many descriptors as the system allows. */
void raise_fd_limit(void);

/** A pair of connected stream sockets, close-on-exec. */
void make_pair(int pair[2]);

/**
 * Starts a child that dies with its parent.
 *
 * @return as fork(), without the failure
 */
pid_t start_child(void);

/** The same, by a signal: a server that is killed leaves its worker behind, which goes on. */
pid_t start_child_ended_by(int end);

/** As start_child(), with a pair of sockets between the two, of which each gets its end. */
pid_t start_child_with(int *sock);

/** Such a child says once that it has come so far, and its parent waits for that. */
void say_ready(int sock);
void await_ready(int sock);

/** Ends a child at once and waits for it. Does nothing for pid 0. */
void stop_child(pid_t pid);

/** User and system time that the process and its children have used, in ns. */
int64_t cpu_ns(pid_t pid);

/** The same, when it has stopped growing: what was asked for last is done. */
int64_t cpu_ns_settled(pid_t pid);

/** Resident memory of the process and its children, in bytes. */
int64_t resident_bytes(pid_t pid);

/** How often the process and its children, of one thread each, have been switched to and from. */
int64_t context_switches(pid_t pid);

/** Descriptors that the process has open. */
int64_t open_fds(pid_t pid);
