/* SPDX-License-Identifier: MIT */
/*
 * Sharing the process's descriptors among regions: a server of the library would take all that
 * RLIMIT_NOFILE allows for itself. What a region's max-clients asks for is kept for it; those that
 * ask for none get equal parts of the rest.
 *
 * Of a server that puts everything into the service manager's store at its end, only half of the
 * allowed descriptors may be in use: the kernel lets no more than RLIMIT_NOFILE be on their way at
 * a time, and clients have some on theirs.
 */
#pragma once

#include "daemon/settings.h"
#include "util/error.h"

struct Daemon;

/**
 * Sets max_clients where it is 0. One region to which none can be added may have everything, and is
 * left at 0.
 *
 * @return 0, or -EMFILE with the reason if what is asked for is more than there is
 */
int share_all(const struct Daemon *daemon, RegionSettings *regions, unsigned n, ErrorText *error);

/** The same for a region that is added while others run: a quarter of what they leave. */
int share_one(const struct Daemon *daemon, RegionSettings *settings, ErrorText *error);
