/* SPDX-License-Identifier: MIT */
/* The floor of a newcomer's latency (latency.c): two processes, neither of which waits for the
 * other. */
#pragma once

/** Listens at a path. */
int floor_listen(const char *path);

/** Accepts, sends the three first messages, and closes when the other end does. */
__attribute__((noreturn)) void floor_accept(int listener);

/** Sends each socket n_vectors messages (64 at most), round and round, as fast as they are read. */
__attribute__((noreturn)) void floor_fan_out(const int *socks, unsigned n, unsigned n_vectors);
