/* SPDX-License-Identifier: MIT */
/*
 * A reload's listeners, of all regions together: two may change places. So all that go do it before
 * any is made, unless what they want is somebody's who stays. If one cannot be made, it is made
 * again as it was, and so is whoever has its place meanwhile.
 */
#pragma once

#include "daemon/daemon.h"
#include "daemon/reload.h"
#include "daemon/settings/config.h"

#define reload_done(reload, ...) problems_add(&(reload)->done, __VA_ARGS__)
#define reload_left(reload, ...) problems_add(&(reload)->left, __VA_ARGS__)

/** The region that is there for one of the configuration, or NULL: there is none, or a command has
 * made it, of which a file says nothing. */
DaemonRegion *reload_find_region(const Daemon *daemon, const RegionSettings *wanted);

/** Makes the listeners of the regions that are there what the configuration says. */
void reload_listeners(Daemon *daemon, const Config *config, Reload *reload);
