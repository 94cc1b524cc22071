/* SPDX-License-Identifier: MIT */
/* Telling whoever starts a server by hand how to connect to it (--show-attach). */
#pragma once

#include "ivshmem-server.h"

/** Prints how QEMU, libvirt and ivshmem-client attach to a started server, on standard output. */
void attach_show(const IvshmemServer *server);
