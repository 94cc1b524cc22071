/* SPDX-License-Identifier: MIT */
/* The ivshmem devices of this machine, for the commands that look after them. */
#pragma once

#include "ivshmem-device.h"
#include "tools/client/tool.h"

typedef struct Devices {
    IvshmemDeviceInfo *at; /* owned */
    size_t n;
} Devices;

/**
 * Finds those that --port names, or all of them. Errors are shown, but that there is none is no
 * error here.
 */
int devices_find(Devices *devices, const ToolOptions *options);

/** For _cleanup_. */
void devices_free(Devices *devices);
