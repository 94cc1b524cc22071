/* SPDX-License-Identifier: MIT */
/*
 * The keeper: a parent that does nothing but wait for the worker, its child, which shares its table
 * of descriptors (clone() with CLONE_FILES) and no memory but the servers' states. When the worker
 * is killed, at whatever instruction, nothing is closed; the next one goes on with the same
 * descriptors.
 *
 * The next one is there before it is needed: once a worker has settled, the keeper starts a process
 * that prepares itself and stands by at the gate (gate.h). A new process would first have to be
 * made, to confine itself and to find its memory page by page, while newcomers wait. It is called
 * STANDBY_NAME in ps while it waits, opens nothing, and ends with the keeper. If there is none,
 * because it was killed, or a worker ends before it has settled, the next worker is made then.
 *
 * A worker that dies again and again is started with a growing pause; in the end the keeper stops
 * trying and holds everything open, so that the peers go on ringing each other without a server. If
 * none has served yet, it ends.
 *
 * It should start workers, pass signals on to them, and say what became of them.
 * It must not touch a client, a region or anything else that a worker can be interrupted in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STANDBY_NAME "ivshmem-standby"

/** What a worker is to do. */
typedef enum KeeperTask {
    KEEPER_SERVE, /* go on where the last one stopped, or begin */
    KEEPER_END,   /* go on, and close */
} KeeperTask;

/** Exit status of a worker that could not go on and has left everything as it was. Another one may
 * be able to, unless it was the first. */
#define KEEPER_TRY_AGAIN 4

/** The same, even if it was the first: nobody else could. */
#define KEEPER_GO_ON 5

/** What a worker does, in a process of its own. */
typedef struct KeeperJob {
    /** What it can do while another one works, and nobody else notices. @return 0, or a negative
     * errno: it ends with KEEPER_TRY_AGAIN */
    int (*prepare)(void *context);
    /** The same for one that stands by, and is not waited for: again after each keeper_call(). */
    void (*look_ahead)(void *context);
    /** Its work. @param n_killed  how many workers before it were killed, ever
     *  @return its exit status, 0 to 255 */
    int (*work)(void *context, KeeperTask task, unsigned n_killed);
    /** In the keeper: the first worker is ready (keeper_ready()). */
    void (*ready)(void *context);
    /** In the keeper, later: what nobody waits for. */
    void (*settled)(void *context);
} KeeperJob;

/** One in a process. All is its own. */
typedef struct Keeper {
    const KeeperJob *job;
    void *context;
    char name[16]; /* what all but the one that stands by are called */
    pid_t worker;
    pid_t dead;        /* the worker before it, not reaped yet; 0: none */
    pid_t standby;     /* the next one, at the gate; 0: none */
    uint32_t number;   /* at the gate, of the latest process that was started */
    uint32_t awaited;  /* the same, of the worker */
    unsigned n_killed; /* workers, ever */
    unsigned n_lost;   /* ended while they stood by for this worker, or could not be made */
    bool is_ready;     /* a worker has been */
    int64_t chores_at; /* when it has settled, or one that stood by has ended a while ago */
} Keeper;

/** Blocks SIGTERM, SIGINT, SIGHUP and SIGCHLD. @param job, context  borrowed
 *  @return 0 or a negative errno */
int keeper_init(Keeper *keeper, const KeeperJob *job, void *context);

/** Has the first worker stand by before keeper_run(), and waits until it does. If it cannot, that
 * makes one. It sees what this process opens later, not what it writes to its memory. */
void keeper_stand_by(Keeper *keeper);

/** Has it look ahead again, and waits until it has. */
void keeper_look_ahead(Keeper *keeper);

/** By a worker: much has changed. Whoever stands by is to look ahead again. Does nothing without a
 * keeper. */
void keeper_call(void);

/** By a worker, from which on nobody else serves what it does: from then on the keeper holds
 * everything open, whatever comes. Before, it gives up when workers die again and again. Does
 * nothing without a keeper. */
void keeper_serve(void);

/** By a worker: all that is to be said about its start has been. Does nothing without a keeper. */
void keeper_ready(void);

/** By a worker whose keeper has ended: whether that has been told so. */
bool keeper_has_told(void);

/** By one that looks ahead: whether it is wanted now. */
bool keeper_is_wanted(void);

/**
 * Keeps a worker at work until one ends by itself. SIGTERM, SIGINT and SIGHUP are passed on to it.
 *
 * @return the exit status of the last worker, or a negative errno: none could be started
 */
int keeper_run(Keeper *keeper);
