/* SPDX-License-Identifier: MIT */
/*
 * The service manager's store of descriptors (sd_notify(3), FDSTORE=1), which outlives the service:
 * at the end everything is put there, and the next start takes it and goes on. A stop of the unit
 * drops the store, and with it the clients.
 *
 * The manager compares each descriptor with all it has and knows nothing of ours, so it gets few:
 * socket pairs in whose queues the others lie as parcels (util/parcel.h), named "ivshmem-N", where
 * N is the number that the manifest had. As their other ends close it must not poll them
 * (FDPOLL=0).
 */
#pragma once

#include "daemon/daemon.h"

/**
 * Puts everything into the store, and waits for the manager to have taken it, some seconds at most.
 *
 * @return 0: the daemon is to end without closing anything; or a negative errno with the reason
 */
int store_put(const Daemon *daemon, ErrorText *error);

/**
 * Takes what the process before has put there: daemon->manifest_fd is set. It stays there, too.
 *
 * @return 0, or a negative errno with the reason: what is there cannot be gone on with
 */
int store_take(Daemon *daemon, ErrorText *error);

/** What was taken is no more to be in the store: this process has it now. */
void store_drop(const Daemon *daemon);
