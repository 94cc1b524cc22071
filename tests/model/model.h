/* SPDX-License-Identifier: MIT */
/*
 * A real server and clients of it that connect, stall, read a little, write what they must not,
 * shut down and die, held against a plain model. What happens is chosen by whoever drives it: a
 * random generator, or a fuzzer.
 *
 * Each client is followed (follower.h) all the time. When the model lets everything settle, this
 * must be true:
 *
 * - every client that is still connected has its set-up, and knows exactly the others that are, but
 *   for those whose ID it had already seen leave;
 * - an ID given out afterwards is the lowest that is not in use and that no connected client knows;
 *   only if there is none may somebody know it, and then as few as possible;
 * - a reserved ID is there for everybody all the time, and an observer for nobody;
 * - ringing each vector of each peer that it knows reaches that peer, and that vector;
 * - the server's counters are what a recount of its views gives.
 */
#pragma once

#include "../lib/follower.h"
#include "ivshmem-server.h"

#define MODEL_CLIENTS     24 /* at most */
#define MODEL_IDS         40
#define MODEL_RESERVED_ID 2

/** What is small, so that it runs out. */
typedef struct ModelSetting {
    unsigned n_vectors, n_clients, n_ids;
    unsigned allowance; /* descriptors in flight; 0: no limit */
} ModelSetting;

typedef struct ModelClient {
    Follower follower; /* sock is -1: there is no client here */
    bool rude;         /* it has broken the protocol: the server must end it */
    const char *path;  /* of the listener that it uses */
    bool observer;
} ModelClient;

/** Who drives it. */
typedef struct ModelDriver {
    uint32_t (*choose)(uint32_t n);                          /* a number below n */
    __attribute__((noreturn)) void (*fail)(const char *why); /* something is not as it must be */
} ModelDriver;

typedef struct Model {
    ModelDriver driver;
    IvshmemServer server;
    char path[64], reserved_path[80], observer_path[80];
    ModelSetting setting;
    ModelClient clients[MODEL_CLIENTS];
    uint64_t step, n_messages, n_joins, n_recycled, n_settled;
} Model;

/** Starts the server at a path. The failing calls of faults.h must be in place. */
void model_start(Model *model, const ModelDriver *driver, const ModelSetting *setting,
                 const char *path);

/** Lets something happen. */
void model_step(Model *model);

/** Without faults: all leave, one stays, and others come and go until an ID has to come again. */
void model_use_ids_up(Model *model);

/** Lets the server and all clients go on until nothing is left to do, and checks that. */
void model_check_settled(Model *model);

/** Ends everything; nothing is left behind. */
void model_stop(Model *model);
