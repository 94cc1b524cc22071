/* SPDX-License-Identifier: MIT */
/* What happens, for whoever listens to the control socket. */
#pragma once

#include "daemon/daemon-region.h"

void events_client_connected(const DaemonRegion *region, const IvshmemServerPeer *peer);
void events_client_left(const DaemonRegion *region, const IvshmemServerPeer *peer);
void events_client_refused(const DaemonRegion *region, int listener, IvshmemServerRefusal reason,
                           const IvshmemServerCredentials *who);
void events_region_added(const DaemonRegion *region);
void events_region_removed(const DaemonRegion *region);
void events_listener_added(const DaemonRegion *region, const ListenerSettings *settings);
void events_listener_removed(const DaemonRegion *region, const ListenerSettings *settings);
