/* SPDX-License-Identifier: MIT */
#include "server/plan.h"

#include "server/view.h"
#include "server/world.h"

#include <assert.h>

/* The next vector of the ID that the client is being told of. */
static Step tell_vector(const State *state, Client *client)
{
    uint32_t id = (uint32_t)client->telling;
    Step step = {STEP_VECTOR, id, client->telling_sent++};

    if (client->telling_sent == state->clients[world_holder(state, id)].n_vectors) {
        client->telling = STATE_NO_ID;
        client->telling_sent = 0;
    }
    return step;
}

static Step tell_departure(State *state, Client *client, uint32_t slot, uint32_t id)
{
    Step step = {STEP_DEPARTURE, id, client->telling_sent};

    view_spend(state, slot, id);
    client->telling = STATE_NO_ID;
    client->telling_sent = 0;
    return step;
}

/* The first step on an ID of which nothing has been begun. False if there is no news of it. */
static bool begin_id(State *state, Ids *ids, uint32_t slot, uint32_t id, Step *step)
{
    Client *client = &state->clients[slot];

    switch (view_due(state, slot, id)) {
    case VIEW_DUE_ARRIVAL:
        view_tell(state, ids, slot, id);
        client->telling = (int32_t)id;
        *step = tell_vector(state, client);
        return true;
    case VIEW_DUE_DEPARTURE:
        *step = tell_departure(state, client, slot, id);
        return true;
    case VIEW_DUE_NOTHING:
        break;
    }
    return false;
}

static bool plan_scan(State *state, Ids *ids, uint32_t slot, Step *step)
{
    Client *client = &state->clients[slot];
    uint32_t id;

    if (client->scan == CLIENT_SCANNED)
        return false;
    id = view_next_due(state, slot, client->scan);
    if (id == state->header->id_limit) {
        client->scan = CLIENT_SCANNED;
        return false;
    }
    client->scan = id + 1;
    return begin_id(state, ids, slot, id, step);
}

static bool plan_change(State *state, Ids *ids, uint32_t slot, Step *step)
{
    Client *client = &state->clients[slot];

    if (!world_lists(state, client->seen)) {
        client->seen = state->header->n_changes;
        client->scan = 0;
        return plan_scan(state, ids, slot, step);
    }
    while (client->seen != state->header->n_changes) {
        uint32_t id = state->changes[client->seen++ % STATE_N_CHANGES];

        if (begin_id(state, ids, slot, id, step))
            return true;
    }
    return false;
}

PlanMark plan_mark(const State *state, uint32_t slot)
{
    return (PlanMark){state->clients[slot].scan, state->clients[slot].seen};
}

bool plan_step(State *state, Ids *ids, uint32_t slot, Step *step)
{
    Client *client = &state->clients[slot];

    if (client->hello_sent < CLIENT_HELLOS) {
        *step = (Step){STEP_HELLO, 0, client->hello_sent++};
        return true;
    }
    if (client->telling != STATE_NO_ID) {
        uint32_t id = (uint32_t)client->telling;

        *step = view_due(state, slot, id) == VIEW_DUE_DEPARTURE
                    ? tell_departure(state, client, slot, id)
                    : tell_vector(state, client);
        return true;
    }
    if (client->own_sent == 0 && plan_scan(state, ids, slot, step))
        return true;
    if (client->own_sent < client->n_vectors) {
        *step = (Step){STEP_OWN, 0, client->own_sent++};
        return true;
    }
    return plan_scan(state, ids, slot, step) || plan_change(state, ids, slot, step);
}

bool plan_has_news(const State *state, uint32_t slot)
{
    const Client *client = &state->clients[slot];

    return !plan_is_set_up(client) || client->telling != STATE_NO_ID ||
           client->scan != CLIENT_SCANNED || client->seen != state->header->n_changes;
}

static void take_back_step(State *state, Ids *ids, uint32_t slot, const Step *step)
{
    Client *client = &state->clients[slot];

    switch (step->kind) {
    case STEP_HELLO:
        client->hello_sent = step->n;
        break;
    case STEP_OWN:
        client->own_sent = step->n;
        break;
    case STEP_VECTOR:
        if (step->n == 0)
            view_untell(state, ids, slot, step->id);
        client->telling = step->n == 0 ? STATE_NO_ID : (int32_t)step->id;
        client->telling_sent = step->n;
        break;
    case STEP_DEPARTURE:
        view_unspend(state, slot, step->id);
        client->telling = step->n == 0 ? STATE_NO_ID : (int32_t)step->id;
        client->telling_sent = step->n;
        break;
    }
}

void plan_take_back(State *state, Ids *ids, uint32_t slot, PlanMark mark, const Step *steps,
                    uint32_t n)
{
    Client *client = &state->clients[slot];

    while (n-- > 0)
        take_back_step(state, ids, slot, &steps[n]);
    client->scan = mark.scan;
    client->seen = mark.seen;
}
