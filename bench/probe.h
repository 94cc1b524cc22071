/* SPDX-License-Identifier: MIT */
/* What is measured while a server's process changes: clients that stay, and newcomers. */
#pragma once

#include "server.h"

#include <stdbool.h>

/** What a server would have open for so many clients: sockets and eventfds. @return n of them */
int *probe_make_fds(unsigned n_clients, unsigned n_vectors, unsigned *n);

/** How long newcomers are looked at after a change, in ns. */
#define PROBE_AFTER (NS_PER_S / 10)
#define PROBE_STEP  (NS_PER_S / 50)

/** Connects clients, waits until all know each other, and reads what they are told from then on.
 * @return their process, for stop_child() */
pid_t probe_start_clients(const BenchServer *server, unsigned n, unsigned n_vectors);

/**
 * Newcomers come, one after the other.
 *
 * @param when     until then
 * @param waits    longer, until this child has ended, which it does with 0; or 0
 * @param may_end  their connections may end before they have the memory: such a one waits on, with
 *                 another
 * @return the longest wait for the memory, in ns
 */
int64_t probe_until(const char *path, int64_t when, pid_t waits, bool may_end);

/**
 * A newcomer comes and is served; the moment after, while others are told of it, a worker is killed
 * and the next newcomer comes. Others follow, PROBE_STEP apart, until PROBE_AFTER.
 *
 * @param worker  0: nobody is killed
 * @return the longest wait of those who came from that moment on
 */
int64_t probe_across_death(const char *path, pid_t worker, bool may_end);
