/* SPDX-License-Identifier: MIT */
/* The floor of a newcomer's latency (latency.c): two processes, neither of which waits for the
 * other. */
#pragma once

#include <sys/types.h>

/** Listens at a path. */
int floor_listen(const char *path, int backlog);

/** Accepts, sends the three first messages, and closes when the other end does. */
__attribute__((noreturn)) void floor_accept(int listener);

/** The same, but whoever is the unwanted user is closed at once, and all who wait are accepted in
 * one go: no server can do less. */
__attribute__((noreturn)) void floor_turn_away(int listener, uid_t unwanted);

/** Sends each socket n_vectors messages (64 at most), round and round, as fast as they are read. */
__attribute__((noreturn)) void floor_fan_out(const int *socks, unsigned n, unsigned n_vectors);
