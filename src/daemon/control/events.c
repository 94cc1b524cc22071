/* SPDX-License-Identifier: MIT */
#include "daemon/control/events.h"

#include "daemon/control/clients.h"
#include "daemon/control/json.h"
#include "daemon/control/refusal.h"
#include "daemon/daemon.h"
#include "server/credentials.h"

/* The control socket, if anybody hears of the event. */
static Control *hearing(const DaemonRegion *region)
{
    Control *control = &region->daemon->control;

    return control_is_heard(control) ? control : NULL;
}

static void tell_client(const DaemonRegion *region, const char *event,
                        const IvshmemServerPeer *peer)
{
    Control *control = hearing(region);

    if (control)
        control_tell(control, event, clients_describe(region, peer));
}

void events_client_connected(const DaemonRegion *region, const IvshmemServerPeer *peer)
{
    tell_client(region, "CLIENT_CONNECTED", peer);
}

void events_client_left(const DaemonRegion *region, const IvshmemServerPeer *peer)
{
    tell_client(region, "CLIENT_LEFT", peer);
}

void events_client_refused(const DaemonRegion *region, int listener, IvshmemServerRefusal reason,
                           const IvshmemServerCredentials *who)
{
    Control *control = hearing(region);
    static CommandMemory memory;
    IvshmemServerListenerInfo info;

    if (!control || ivshmem_server_listener_info(&region->server, listener, &info) < 0)
        return;
    control_tell(control, "CLIENT_REFUSED",
                 json_pack("{s:s,s:s,s:s,s:i,s:I,s:I,s:s}", "region", region->settings.name, "name",
                           info.name, "reason", refusal_name(reason), "pid", (int)who->pid, "uid",
                           (json_int_t)who->uid, "gid", (json_int_t)who->gid, "command",
                           credentials_command_again(&memory, who->pid)));
}

static void tell_region(const DaemonRegion *region, const char *event)
{
    Control *control = hearing(region);

    if (control)
        control_tell(control, event, json_pack("{s:s}", "region", region->settings.name));
}

void events_region_added(const DaemonRegion *region)
{
    tell_region(region, "REGION_ADDED");
}

void events_region_removed(const DaemonRegion *region)
{
    tell_region(region, "REGION_REMOVED");
}

static void tell_listener(const DaemonRegion *region, const char *event,
                          const ListenerSettings *settings)
{
    Control *control = hearing(region);

    if (control)
        control_tell(control, event,
                     json_pack("{s:s,s:s,s:o}", "region", region->settings.name, "name",
                               settings->name, "path", json_text(settings->path)));
}

void events_listener_added(const DaemonRegion *region, const ListenerSettings *settings)
{
    tell_listener(region, "LISTENER_ADDED", settings);
}

void events_listener_removed(const DaemonRegion *region, const ListenerSettings *settings)
{
    tell_listener(region, "LISTENER_REMOVED", settings);
}
