/* SPDX-License-Identifier: MIT */
/* What the options ask for: the regions, and the paths and groups that stay within reach once it is
 * confined. */
#pragma once

#include "daemon/process/sandbox.h"
#include "daemon/settings/config.h"
#include "daemon/settings/options.h"

/** Describes the regions that are to be served. What is wrong is among the configuration's
 * problems.
 */
void launch_describe(Config *config, const Options *options, const ConfigContext *context);

/** What the configuration needs to know of the options. @param folder  a buffer for its run_folder
 */
ConfigContext launch_context(const Options *options, char folder[static PATH_MAX]);

/** Whether regions and listeners can be made and removed while it runs. */
bool launch_can_change(const Options *options);

#define LAUNCH_MAX_PATHS  64
#define LAUNCH_MAX_GROUPS 64

/** The paths that must stay reachable, and the groups that sockets can be given to later on: those
 * of the sockets that are there from the start. */
typedef struct LaunchPaths {
    SandboxPath paths[LAUNCH_MAX_PATHS];
    char text[LAUNCH_MAX_PATHS][PATH_MAX];
    unsigned n;
    gid_t groups[LAUNCH_MAX_GROUPS];
    unsigned n_groups;
    bool is_more; /* than before */
} LaunchPaths;

/** Those of the options and of these regions. @return NULL if there is no memory; to be freed */
LaunchPaths *launch_paths(const Config *config, const Options *options);

/** Those of further regions. @return whether any was not among them, or with fewer rights */
bool launch_add_paths(LaunchPaths *all, const Config *config, const Options *options);
