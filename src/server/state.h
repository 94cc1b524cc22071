/* SPDX-License-Identifier: MIT */
/*
 * Everything that a region's server must remember, in one flat mapping of indices and no pointers:
 * who is connected (a slot per client), which IDs are present with which eventfds, what each client
 * has been told (its view, view.h), and the latest changes. The server works on it in place. What
 * else it keeps (counters, sets, lists) follows from this and is built anew from it.
 *
 * The mapping is laid out for the most clients that there can be, and pages that nobody touched
 * cost nothing: slots are given out lowest first, and views lie in tiles of one page, so that what
 * is resident grows with the clients and IDs in use.
 */
#pragma once

#include "util/bitmap.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STATE_N_CHANGES 4096 /* latest changes of the world, a power of two; 16 KiB */
#define STATE_NO_SLOT   UINT32_MAX
#define STATE_NO_ID     -1

/* A tile of the views: one page of 16-byte words, 16 of them a client. */
#define VIEW_TILE_CLIENTS 16
#define VIEW_TILE_IDS     1024
#define VIEW_TILE_WORDS   (VIEW_TILE_CLIENTS * VIEW_TILE_IDS / 64)

/** What one client has been told of 64 IDs (view.h says what the two bits mean). */
typedef struct ViewWord {
    uint64_t told;
    uint64_t spent;
} ViewWord;

/** A client: its connection, who it is, and how far it has been told of the world. */
typedef struct Client {
    int32_t sock_fd;       /* -1: nobody is connected */
    int32_t id;            /* STATE_NO_ID: no peer sees it */
    uint32_t n_vectors;    /* its own */
    uint32_t hello_sent;   /* of version, own ID, memory */
    uint32_t own_sent;     /* of its own vectors */
    int32_t telling;       /* the ID of which it has been sent some vectors, or STATE_NO_ID */
    uint32_t telling_sent; /* how many */
    uint32_t scan;       /* IDs from here on may have news; CLIENT_SCANNED: none but changes has */
    uint64_t seen;       /* changes of the world that it has been told of, or never will be */
    uint32_t unread;     /* descriptors that it has perhaps not received yet: at most these */
    bool parked;         /* its send buffer is at its smallest (flight.h) */
    uint32_t listener;   /* the index of the one that it came through */
    bool reserved;       /* the slot stays when its connection ends */
    bool read_only;      /* what it gets of the memory */
    bool has_read_setup; /* as setup.h has seen it */
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int64_t connected_at; /* CLOCK_REALTIME, ns */
    int64_t accepted_at;  /* CLOCK_MONOTONIC, ns */
} Client;

#define CLIENT_HELLOS      3
#define CLIENT_OBSERVER_ID WIRE_MAX_ID /* what observers are told as their own */
#define CLIENT_SCANNED     UINT32_MAX

typedef struct StateHeader {
    uint32_t max_clients;
    uint32_t max_vectors;
    uint32_t id_limit;  /* every ID that was ever present is below */
    uint32_t n_clients; /* slots in use */
    uint64_t n_changes; /* of the world, ever */
} StateHeader;

/** The mapping and where its parts are. */
typedef struct State {
    void *base;
    size_t size;
    StateHeader *header;
    uint64_t *slots;     /* set of slots in use, max_clients bits */
    uint64_t *connected; /* set of slots that have a connection */
    Client *clients;     /* [max_clients] */
    int32_t *eventfds;   /* [max_clients][max_vectors], of the ID that the client holds */
    uint64_t *present;   /* set of IDs that somebody holds */
    uint32_t *holders;   /* [WIRE_N_IDS]: slot, if the ID is present */
    uint32_t *changes;   /* [STATE_N_CHANGES]: ID, of change number n at n % STATE_N_CHANGES */
    ViewWord *views;     /* tiles, see view_word() */
} State;

/**
 * Maps an empty state.
 *
 * @return 0 or -ENOMEM
 */
int state_new(State *state, uint32_t max_clients, uint32_t max_vectors);

/** Takes a state that is all zero, too. Closes no descriptor. */
void state_free(State *state);

/** The client in the slot is as one that has been told nothing. */
void state_reset_progress(Client *client);

/** The lowest free slot, now in use with an empty client, or STATE_NO_SLOT. */
uint32_t state_take_slot(State *state);
void state_drop_slot(State *state, uint32_t slot);

/** The eventfds of the client in a slot. */
static inline int32_t *state_eventfds(const State *state, uint32_t slot)
{
    return state->eventfds + (size_t)slot * state->header->max_vectors;
}
