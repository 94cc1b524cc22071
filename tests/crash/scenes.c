/* SPDX-License-Identifier: MIT */
#include "scenes.h"

#include <poll.h>
#include <string.h>

#define PATIENCE_MS 10000

static CrowdClient *guest(Crowd *crowd)
{
    return &crowd->clients[SCENE_CLIENTS - 1];
}

static bool is_there(CrowdClient *client)
{
    return client->follower.sock >= 0;
}

static void without_guest(Crowd *crowd, const State *state)
{
    (void)state;
    if (is_there(guest(crowd)))
        crowd_leave(guest(crowd));
    for (unsigned i = 0; i < SCENE_CLIENTS - 1; i++)
        if (!is_there(&crowd->clients[i]))
            crowd_join(crowd, &crowd->clients[i]);
    crowd_settle(crowd);
}

static void with_guest(Crowd *crowd, const State *state)
{
    without_guest(crowd, state);
    crowd_join(crowd, guest(crowd));
    crowd_settle(crowd);
}

static void come(Crowd *crowd)
{
    crowd_join(crowd, guest(crowd));
}

static void go(Crowd *crowd)
{
    crowd_leave(guest(crowd));
}

/* The guest's socket is full: with 64 vectors, five peers are more than it takes. */
static void with_full_guest(Crowd *crowd, const State *state)
{
    uint64_t before;
    unsigned i;

    without_guest(crowd, state);
    before = state->header->stats.n_retries;
    crowd_join(crowd, guest(crowd));
    for (i = 0; i < PATIENCE_MS && state->header->stats.n_retries == before; i++)
        (void)poll(NULL, 0, 1);
    if (i == PATIENCE_MS)
        crowd_fail("the guest's socket does not fill");
}

static void read_all(Crowd *crowd)
{
    (void)crowd_read(crowd, guest(crowd), UINT32_MAX);
}

/* One is there and one has gone, of which the next worker knows nothing. */
static void come_and_go(Crowd *crowd)
{
    come(crowd);
    crowd_leave(&crowd->clients[1]);
}

static const Scene scenes[] = {
    {"join", without_guest, come, false},
    {"departure", with_guest, go, false},
    {"flush", with_full_guest, read_all, false},
    {"recovery", without_guest, come_and_go, true},
};

const Scene *scene_find(const char *name)
{
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++)
        if (strcmp(scenes[i].name, name) == 0)
            return &scenes[i];
    return NULL;
}
