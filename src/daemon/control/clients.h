/* SPDX-License-Identifier: MIT */
/* How the control socket describes a client. */
#pragma once

#include "daemon/daemon-region.h"

#include <jansson.h>

/** Who a client is: what events and answers say of it. The caller's. */
json_t *clients_describe(const DaemonRegion *region, const IvshmemServerPeer *peer);
