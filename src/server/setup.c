/* SPDX-License-Identifier: MIT */
#include "server/setup.h"

#include "server/client.h"
#include "server/core.h"

#define GRAIN_NS  INT64_C(50000000) /* deadlines this near to each other are looked at together */
#define NS_PER_MS INT64_C(1000000)

void setup_began(ServerCore *core, uint32_t slot)
{
    unsigned timeout = core->server->config_.setup_timeout_ms;

    if (timeout)
        timers_set(&core->timers, TIMER_SETUP,
                   core->state.clients[slot].accepted_at + timeout * NS_PER_MS + GRAIN_NS);
}

void setup_check(ServerCore *core)
{
    State *state = &core->state;
    unsigned timeout = core->server->config_.setup_timeout_ms;
    int64_t now = deadline_now();
    uint32_t slot;

    BITMAP_FOREACH(slot, state->connected, state->header->max_clients) {
        Client *client = &state->clients[slot];

        if (client->has_read_setup)
            continue;
        if (plan_is_set_up(client) && flight_is_drained(client)) {
            client->has_read_setup = true;
        } else if (now >= client->accepted_at + timeout * NS_PER_MS) {
            const char *name = core->state.listeners[client->listener].name;

            core_log(core->server, LOG_WARNING,
                     "peer %d%s%s (pid %d, uid %u) has not read its set-up in time: disconnected "
                     "(setup_timeout_ms %u)",
                     client->id, *name ? " " : "", name, (int)client->pid, (unsigned)client->uid,
                     timeout);
            client_close(core, slot, "set-up timeout");
        } else {
            setup_began(core, slot);
        }
    }
}
