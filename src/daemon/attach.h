/* SPDX-License-Identifier: MIT */
#pragma once

#include "ivshmem-server.h"

/** Prints how QEMU, libvirt and ivshmem-client attach to a started server, on standard output. */
void attach_show(const IvshmemServer *server);
