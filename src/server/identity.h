/* SPDX-License-Identifier: MIT */
/*
 * What the world sees of a client: an ID and the eventfds that go with it. It is there as long as
 * the client is connected, or, if it is reserved, as long as its listener is.
 */
#pragma once

#include "server/state.h"

struct ServerCore;

/** Makes the eventfds of the client in a slot. @return 0 or a negative errno: -EMFILE, -ENFILE,
 * -ENOMEM */
int identity_make(struct ServerCore *core, uint32_t slot, uint32_t n_vectors);

/** Closes them. */
void identity_unmake(struct ServerCore *core, uint32_t slot);

/** An ID for a newcomer (ids.h), or STATE_NO_ID. */
int32_t identity_choose_id(struct ServerCore *core);

/** The slot's identity is present from now on: everybody is going to be told. */
void identity_join(struct ServerCore *core, uint32_t slot, uint32_t id);

/** It has gone. */
void identity_leave(struct ServerCore *core, uint32_t slot);
