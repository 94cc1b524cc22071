/* SPDX-License-Identifier: MIT */
/*
 * Whether a state that this process has not written itself can be worked on: each index, count and
 * descriptor in it is what it can be, whoever wrote it. What is made anew from the rest (recover.h)
 * is not looked at.
 */
#pragma once

#include "server/state.h"
#include "util/error.h"

#define STATE_FD_LIMIT (1 << 26) /* descriptors are below: far above what a system allows */

/**
 * To be called before anything else is done with the state.
 *
 * @param n_ids  the IDs that there can be are below
 * @return 0, -EBADMSG with what is wrong, or -ENOMEM
 */
int state_check(const State *state, uint32_t n_ids, ErrorText *error);

/**
 * The same for what clients have been told, which may be in the middle of a change until the batch
 * is settled.
 */
int state_check_progress(const State *state, ErrorText *error);
