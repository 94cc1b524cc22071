/* SPDX-License-Identifier: MIT */
/*
 * What a region and its listeners are to be, whoever said so: the command line, a configuration
 * file, or a command. Plain data that owns all its strings; region_settings_link() makes those
 * inside `config` point to them.
 */
#pragma once

#include "daemon/settings/policy.h"
#include "ivshmem-server.h"

#include <linux/limits.h>
#include <sys/un.h>

#define SETTINGS_NAME_SIZE   IVSHMEM_SERVER_NAME_SIZE /* of a region or listener, with its NUL */
#define SETTINGS_PATH_SIZE   sizeof(((struct sockaddr_un *)0)->sun_path)
#define SETTINGS_DEFAULT     "ivshmem" /* the name of the region that the command line makes */
#define SETTINGS_MAX_SOCKETS 1024      /* listeners of a region that settings can have */

typedef struct ListenerSettings {
    char name[SETTINGS_NAME_SIZE];
    char path[SETTINGS_PATH_SIZE];
    char libvirt_name[SETTINGS_NAME_SIZE]; /* "": the path is not one of libvirt's */
    IvshmemServerListenerConfig config;
    Policy policy;
    int index;           /* the library's, once it is open */
    unsigned line;       /* where it stands in its file; 0: in none */
    bool is_configured;  /* it is from a file */
    bool has_wrong_path; /* which has been said */
} ListenerSettings;

typedef struct RegionSettings {
    char name[SETTINGS_NAME_SIZE];
    char memory_path[PATH_MAX]; /* see IvshmemServerConfig.shm_path */
    IvshmemServerConfig config;
    ListenerSettings *listeners;
    unsigned n_listeners;
    char file[PATH_MAX]; /* where it stands; "": in none */
    bool has_share;      /* max_clients is a share, which nobody has asked for (share.h) */
} RegionSettings;

void region_settings_init(RegionSettings *settings);
void region_settings_free(RegionSettings *settings);
void listener_settings_init(ListenerSettings *settings);

/** Adds a listener with the defaults. @return NULL if there are too many, or no memory */
ListenerSettings *region_settings_add(RegionSettings *settings);

/** Moves them; the source is empty afterwards. */
void region_settings_move(RegionSettings *to, RegionSettings *from);

/** Makes the strings of `config` point to ours. To be called after every move. */
void region_settings_link(RegionSettings *settings);
void listener_settings_link(ListenerSettings *settings);

/** Whether both share one POSIX object, however many slashes its name begins with. */
bool region_settings_share_memory(const RegionSettings *a, const RegionSettings *b);

/** What a line of the log calls it: its name, or its path if it has none. The settings' own. */
const char *listener_settings_title(const ListenerSettings *settings);

/** Whether the library's own first listener can be this one: it has nothing special. */
bool listener_settings_are_plain(const ListenerSettings *settings);
