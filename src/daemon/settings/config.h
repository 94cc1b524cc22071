/* SPDX-License-Identifier: MIT */
/*
 * The configuration: a file per region, NAME.conf, in INI form.
 *
 *     [region]
 *     size = 16M
 *     [listener vm1]
 *     socket = /run/ivshmem/vm1
 *     reserved-id = 1
 *
 * Reading it changes nothing and goes on to the end, so that everything that is wrong is said.
 */
#pragma once

#include "daemon/settings/problems.h"
#include "daemon/settings/settings.h"

#define CONFIG_DEFAULT_PATH "/etc/ivshmem"
#define CONFIG_OBSERVERS    "observers" /* the name of each region's listener for them */
#define CONFIG_MAX_LINE     180         /* bytes of a line; inih takes no longer ones */
#define CONFIG_MAX_REGIONS  1024

typedef struct Config {
    RegionSettings *regions; /* by name */
    unsigned n_regions;
    Problems problems;
} Config;

/** What the configuration does not say of itself. */
typedef struct ConfigContext {
    const char *run_folder;   /* where sockets are that have no path */
    const char *control_path; /* of the control socket, which nobody else can have */
    uid_t run_uid;            /* who owns sockets and memory; (uid_t)-1: we */
} ConfigContext;

/** Reads a file, or all files of a folder whose name ends in ".conf". What is wrong is among its
 * problems: it can only be used if there are none. */
void config_read(Config *config, const char *path, const ConfigContext *context);

void config_free(Config *config);

/** Finishes a region's settings, wherever they are from: defaults that depend on others, the
 * observers' listener, what is in conflict. `where` begins the lines of problems. */
void config_finish_region(RegionSettings *settings, const ConfigContext *context, const char *where,
                          Problems *problems);

#define CONFIG_PLACE_SIZE (PATH_MAX + 128)

/** Where a listener of a file stands, in a buffer of the caller's. The one for observers may stand
 * in no line. */
const char *config_place(const ListenerSettings *listener, const char *where,
                         char place[static CONFIG_PLACE_SIZE]);

/** How many listeners have a reserved identity. */
unsigned config_count_reserved(const RegionSettings *settings);

/** The same for a listener of a region with these settings. */
void config_finish_listener(ListenerSettings *listener, const RegionSettings *region,
                            const ConfigContext *context, const char *where, Problems *problems);
