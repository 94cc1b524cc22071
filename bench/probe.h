/* SPDX-License-Identifier: MIT */
/* What is measured while a server's process changes: clients that stay, and newcomers. */
#pragma once

#include "server.h"

#include <stdbool.h>

/** What a server would have open for so many clients: sockets and eventfds. @return n of them */
int *probe_make_fds(unsigned n_clients, unsigned n_vectors, unsigned *n);

/** How long newcomers are looked at after a change, in ns. */
#define PROBE_AFTER (NS_PER_S / 10)

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
 * The same, around a moment: newcomers come until PROBE_AFTER after it.
 *
 * @param moment  in memory shared with whoever stores there when it was (now_ns()), 0 until then
 * @return the longest wait of those that ended after the moment
 */
int64_t probe_across(const char *path, const _Atomic int64_t *moment, bool may_end);
