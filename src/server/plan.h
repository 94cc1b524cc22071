/* SPDX-License-Identifier: MIT */
/*
 * What a client is to be sent next: the difference between the world and its view, in this order:
 *
 * 1. version, own ID, memory;
 * 2. the peers that are present, found by a scan of its view;
 * 3. its own vectors: the last step of the set-up, due when the scan has passed every ID that was
 *    present when it came, so that whoever has them knows all that were there before him;
 * 4. what has changed since, found in the world's list of changes or, if the client is further
 *    behind than the list is long, by another scan.
 *
 * An ID of which it has been sent some vectors comes before all else: it gets the rest of them, or
 * the departure.
 *
 * A plan is made ahead of sending. Each step is found, recorded, entered in the client's progress
 * and view, and taken back if the kernel did not take its message. (Entering it afterwards would
 * let one batch hold the same news twice.) Taking back restores what was there before, whether or
 * not the step was entered, and any number of times: so a process that is killed anywhere leaves a
 * record from which the next one knows what was sent (state.h, StateBatch).
 */
#pragma once

#include "server/ids.h"
#include "server/state.h"

PlanMark plan_mark(const State *state, uint32_t slot);

/** Finds the client's next step. False if it has been told everything. */
bool plan_find(State *state, uint32_t slot, Step *step);

/** Enters the step that was found last: it is going to be sent. */
void plan_enter(State *state, Ids *ids, uint32_t slot, const Step *step);

/** Whether there is a step to plan. It may say so of a change that turns out to be none. */
bool plan_has_news(const State *state, uint32_t slot);

/** As view_count_due(), without a look at the whole view of a client that is up to date or nearly
 * so: with 5,000 clients and IDs up to 65,535 that would take milliseconds. */
uint32_t plan_count_due(const State *state, uint32_t slot);

/** Takes the steps back that were planned since the mark and have not been sent, n of them. */
void plan_take_back(State *state, Ids *ids, uint32_t slot, PlanMark mark, const Step *steps,
                    uint32_t n);

/** Whether the client has been sent its whole set-up. */
static inline bool plan_is_set_up(const Client *client)
{
    return client->hello_sent == CLIENT_HELLOS && client->own_sent == client->n_vectors;
}
