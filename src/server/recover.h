/* SPDX-License-Identifier: MIT */
/*
 * Going on from the state that another process has left behind, whatever instruction it stopped at.
 *
 * What only that process knew is made anew: who is present and known to whom, the sets of the
 * outbox, the list of peers, epoll's events. The batch that was on its way is settled from its
 * record. Everybody's view is scanned once, as the list of changes may lack the last one.
 *
 * Newcomers are not to wait for what takes a call of the kernel for each client that is there: that
 * comes in the turns of the loop, for some at a time (recover_turn()). Until then such a client is
 * sent nothing, and its end is not noticed. Nor do they wait until it is counted how many clients
 * know which ID, where IDs have been used up for long: that no client knows theirs takes less.
 *
 * Descriptors that nothing knows of are left: of a connection that was accepted a moment before, of
 * eventfds for a client that did not come to count, of one that was being closed. The host program
 * finds them (only it knows which are its own) and hands connections to recover_adopt().
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>

struct ServerCore;

#define RECOVER_TURN 64 /* clients: some 0.2 ms */

/**
 * @param core  a new one, with that state and nothing derived from it yet
 * @return 0 or a negative errno: -EBADMSG with what is damaged, -ENOMEM, -EMFILE
 */
int recover(struct ServerCore *core, ErrorText *error);

/** A part of the clients that were found in the state: they are polled and sent to from now on.
 *  When that is done, IDs are counted, a block at a time.
 *
 *  @param has_accepted  somebody in this turn, who may wait for this processor to read his answer
 */
void recover_turn(struct ServerCore *core, bool has_accepted);
bool recover_has_work(const struct ServerCore *core);

/** One of them at once. @return 0 or a negative errno: it is as before */
int recover_client(struct ServerCore *core, uint32_t slot);

/**
 * Takes a connection that was accepted, but is nobody's: a new client, unless it has ended.
 *
 * @return 0 and it is taken over, or -ENOENT: it did not come through one of our listeners
 */
int recover_adopt(struct ServerCore *core, int sock);
