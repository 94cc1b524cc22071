/* SPDX-License-Identifier: MIT */
/* One file of the configuration. */
#pragma once

#include "daemon/settings/problems.h"
#include "daemon/settings/settings.h"

/** Reads a region's file into settings with the defaults. Only what a line alone can be wrong in is
 * checked. */
void config_file_read(const char *path, RegionSettings *settings, Problems *problems);
