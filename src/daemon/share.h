/* SPDX-License-Identifier: MIT */
/*
 * Sharing the process's descriptors among regions: a server of the library would take all that
 * RLIMIT_NOFILE allows for itself. What a region's max-clients asks for is kept for it; those that
 * ask for none get equal parts of the rest.
 *
 * The kernel lets no more than RLIMIT_NOFILE of a user's descriptors be on their way at a time, and
 * clients that do not read have some on theirs. So that all can be handed over to another process
 * at any time, a part of what the system allows is kept for that: the soft limit is lower until
 * then. A server that puts everything into the service manager's store at its end keeps one half,
 * since all lies there at once. For a take-over a few are enough: who takes over receives all the
 * time.
 */
#pragma once

#include "daemon/settings/settings.h"
#include "util/error.h"

struct Daemon;

/** How many descriptors may be open, and on their way, while this server serves. */
void share_limit(const struct Daemon *daemon);

/** And while it hands over what it has. */
void share_lift_limit(void);

/**
 * Sets max_clients where it is 0. One region to which none can be added may have everything, and is
 * left at 0.
 *
 * @return 0, or -EMFILE with the reason if what is asked for is more than there is
 */
int share_all(const struct Daemon *daemon, RegionSettings *regions, unsigned n, ErrorText *error);

/** The same for a region that is added while others run: a quarter of what they leave. */
int share_one(const struct Daemon *daemon, RegionSettings *settings, ErrorText *error);
