/* SPDX-License-Identifier: MIT */
#include "server/plan.h"

#include "server/view.h"
#include "server/world.h"

#include <assert.h>

#define COUNTED_MAX 16 /* changes that are looked at one by one: at most all that are listed */
static_assert(COUNTED_MAX <= STATE_N_CHANGES, "what is looked at is listed");

/* The first step on an ID of which nothing has been begun. False if there is no news of it. */
static bool find_first(const State *state, uint32_t slot, uint32_t id, Step *step)
{
    switch (view_due(state, slot, id)) {
    case VIEW_DUE_ARRIVAL:
        *step = (Step){STEP_VECTOR, id, 0};
        return true;
    case VIEW_DUE_DEPARTURE:
        *step = (Step){STEP_DEPARTURE, id, 0};
        return true;
    case VIEW_DUE_NOTHING:
        break;
    }
    return false;
}

static bool find_by_scan(State *state, uint32_t slot, Step *step)
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
    return find_first(state, slot, id, step);
}

static bool find_change(State *state, uint32_t slot, Step *step)
{
    Client *client = &state->clients[slot];

    if (!world_lists(state, client->seen)) {
        client->seen = state->header->n_changes;
        client->scan = 0;
        return find_by_scan(state, slot, step);
    }
    while (client->seen != state->header->n_changes) {
        uint32_t id = state->changes[client->seen++ % STATE_N_CHANGES];

        if (find_first(state, slot, id, step))
            return true;
    }
    return false;
}

PlanMark plan_mark(const State *state, uint32_t slot)
{
    return (PlanMark){state->clients[slot].scan, state->clients[slot].seen};
}

bool plan_find(State *state, uint32_t slot, Step *step)
{
    const Client *client = &state->clients[slot];

    if (client->hello_sent < CLIENT_HELLOS) {
        *step = (Step){STEP_HELLO, 0, client->hello_sent};
        return true;
    }
    if (client->telling != STATE_NO_ID) {
        uint32_t id = (uint32_t)client->telling;
        bool gone = view_due(state, slot, id) == VIEW_DUE_DEPARTURE;

        *step = (Step){gone ? STEP_DEPARTURE : STEP_VECTOR, id, client->telling_sent};
        return true;
    }
    if (client->own_sent == 0 && find_by_scan(state, slot, step))
        return true;
    if (client->own_sent < client->n_vectors) {
        *step = (Step){STEP_OWN, 0, client->own_sent};
        return true;
    }
    return find_by_scan(state, slot, step) || find_change(state, slot, step);
}

void plan_enter(State *state, Ids *ids, uint32_t slot, const Step *step)
{
    Client *client = &state->clients[slot];
    bool more = false;

    switch (step->kind) {
    case STEP_HELLO:
        client->hello_sent = step->n + 1;
        return;
    case STEP_OWN:
        client->own_sent = step->n + 1;
        return;
    case STEP_VECTOR:
        if (step->n == 0)
            view_tell(state, ids, slot, step->id);
        more = step->n + 1 < state->clients[world_holder(state, step->id)].n_vectors;
        break;
    case STEP_DEPARTURE:
        view_spend(state, ids, slot, step->id);
        break;
    }
    client->telling = more ? (int32_t)step->id : STATE_NO_ID;
    client->telling_sent = more ? step->n + 1 : 0;
}

bool plan_has_news(const State *state, uint32_t slot)
{
    const Client *client = &state->clients[slot];

    return !plan_is_set_up(client) || client->telling != STATE_NO_ID ||
           client->scan != CLIENT_SCANNED || client->seen != state->header->n_changes;
}

/* Of those that the changes of which it has not heard name. They are few: an ID counts where it is
 * named last. */
static uint32_t count_changes(const State *state, uint32_t slot)
{
    uint64_t end = state->header->n_changes;
    uint32_t n = 0;

    for (uint64_t i = state->clients[slot].seen; i != end; i++) {
        uint32_t id = state->changes[i % STATE_N_CHANGES];
        bool again = false;

        for (uint64_t later = i + 1; !again && later != end; later++)
            again = state->changes[later % STATE_N_CHANGES] == id;
        n += !again && view_due(state, slot, id) != VIEW_DUE_NOTHING;
    }
    return n;
}

uint32_t plan_count_due(const State *state, uint32_t slot)
{
    const Client *client = &state->clients[slot];
    uint64_t behind = state->header->n_changes - client->seen;

    if (!plan_is_set_up(client) || client->telling != STATE_NO_ID ||
        client->scan != CLIENT_SCANNED || behind > COUNTED_MAX)
        return view_count_due(state, slot);
    return count_changes(state, slot);
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
        view_unspend(state, ids, slot, step->id);
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
