/* SPDX-License-Identifier: MIT */
/*
 * Everything that a region's server must remember, in one flat mapping of indices and no pointers:
 * who is connected (a slot per client), which IDs are present with which eventfds, what each client
 * has been told (its view, view.h), and the latest changes. The server works on it in place. What
 * else it keeps (counters, sets, lists) follows from this and is built anew from it.
 *
 * The mapping can be of a memfd, which survives the process. Whatever instruction the process is
 * killed at, the state is whole: a client is there once `in_use` says so, which is stored last, and
 * gone once it does not, which is stored first; what a batch has sent is known from the record of
 * it. What follows from the rest (the sets of slots, who is present, the list of changes) is in the
 * mapping for its size only: it is made anew by whoever comes next (recover.h).
 *
 * A state changes hands. After a crash it is read where it lies, by the same program. At a restart
 * or an upgrade another program reads it, and trusts nothing in it (state-check.h): it copies what
 * it takes over (ivshmem_server_import()). STATE_VERSION goes up with each release that changes
 * what the mapping holds, in form or in meaning. A program imports its own version and the one
 * before: whoever raises the number moves the records as they were to a file of their own, with the
 * function that fills in new ones from them, and drops those of two versions ago. tests/fixtures/
 * has a state of each version, written by the program of that time, which a test goes on from.
 *
 * The mapping is laid out for the most clients that there can be, and pages that nobody touched
 * cost nothing: slots are given out lowest first, and views lie in tiles of one page, so that what
 * is resident grows with the clients and IDs in use. What belongs to IDs that have gone for good is
 * given back (view.h).
 */
#pragma once

#include "ivshmem-server.h"
#include "server/listener.h"
#include "util/bitmap.h"
#include "util/error.h"
#include "util/fdpass.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STATE_MAX_CLIENTS 65536
#define STATE_N_CHANGES   4096 /* latest changes of the world, a power of two; 16 KiB */
#define STATE_NO_SLOT     UINT32_MAX
#define STATE_NO_ID       (-1)

/* IDs come in blocks of 1,024. A tile of the views is a block for 16 clients: one page of 16-byte
 * words, 16 of them a client. */
#define BLOCK_IDS         1024
#define N_BLOCKS          (WIRE_N_IDS / BLOCK_IDS)
#define VIEW_TILE_CLIENTS 16
#define VIEW_TILE_WORDS   (VIEW_TILE_CLIENTS * BLOCK_IDS / 64)

/** What one client has been told of 64 IDs (view.h says what the two bits mean). */
typedef struct ViewWord {
    uint64_t told;
    uint64_t spent;
} ViewWord;

typedef enum StepKind {
    STEP_HELLO,     /* n: 0 version, 1 own ID, 2 memory */
    STEP_VECTOR,    /* vector n of the ID */
    STEP_DEPARTURE, /* of the ID; n: how many of its vectors had been sent, 0 if all */
    STEP_OWN,       /* its own vector n */
} StepKind;

/** What one message to a client says. */
typedef struct Step {
    StepKind kind;
    uint32_t id;
    uint32_t n;
} Step;

/** Where the search for a client's news stood when a plan was begun. */
typedef struct PlanMark {
    uint32_t scan;
    uint64_t seen;
} PlanMark;

typedef enum BatchPhase {
    BATCH_IDLE,
    BATCH_PLANNING, /* its steps are recorded and entered one after the other; none is sent */
    BATCH_SENDING,  /* its first steps may have been sent: those whose msg_len is set */
} BatchPhase;

/** The batch that is on its way to one client. */
typedef struct StateBatch {
    BatchPhase phase;
    uint32_t slot;
    uint32_t n; /* steps */
    PlanMark mark;
    Step steps[FDPASS_BATCH_MAX];
    FdpassBatch messages; /* of this process: another reads each msg_len, and nothing else */
} StateBatch;

/** A client: its connection, who it is, and how far it has been told of the world. */
typedef struct Client {
    bool in_use;           /* the slot counts: set last, cleared first */
    int32_t sock_fd;       /* -1: nobody is connected */
    int32_t id;            /* STATE_NO_ID: no peer sees it */
    uint32_t n_vectors;    /* its own */
    uint32_t hello_sent;   /* of version, own ID, memory */
    uint32_t own_sent;     /* of its own vectors */
    int32_t telling;       /* the ID of which it has been sent some vectors, or STATE_NO_ID */
    uint32_t telling_sent; /* how many */
    uint32_t scan;       /* IDs from here on may have news; CLIENT_SCANNED: none but changes has */
    uint64_t seen;       /* changes of the world that it has been told of, or never will be */
    uint64_t kept;       /* blocks of IDs of which its view is in a tile (view.h) */
    uint64_t sealed;     /* of the others: those of which it has seen every ID go */
    uint32_t unread;     /* descriptors that it has perhaps not received yet: at most these */
    bool parked;         /* its send buffer is at its smallest (flight.h) */
    uint32_t listener;   /* the index of the one that it came through */
    bool reserved;       /* the slot stays when its connection ends */
    bool read_only;      /* what it gets of the memory */
    bool has_read_setup; /* as setup.h has seen it */
    bool passed;         /* another process has its descriptors, of this connection (pass.c) */
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int64_t connected_at; /* CLOCK_REALTIME, ns */
    int64_t accepted_at;  /* CLOCK_MONOTONIC, ns */
} Client;

#define CLIENT_HELLOS      3
#define CLIENT_OBSERVER_ID WIRE_MAX_ID /* what observers are told as their own */
#define CLIENT_SCANNED     UINT32_MAX

#define STATE_MAGIC   UINT64_C(0x746174736d687669) /* "ivhmstat" */
#define STATE_VERSION 1

typedef struct StateHeader {
    uint64_t magic;
    uint32_t version;
    uint32_t client_size, listener_size, batch_size; /* what this version's records take */
    uint64_t size;                                   /* of the mapping */
    uint32_t max_clients;
    uint32_t max_vectors;
    uint32_t id_limit;       /* every ID that was ever present is below */
    uint32_t n_clients;      /* slots in use */
    uint32_t slot_limit;     /* every slot that was ever used is below */
    uint32_t listener_limit; /* and every listener */
    int32_t memory_fd;       /* the region's */
    bool memory_made;        /* its name is ours to remove */
    uint64_t n_changes;      /* of the world, ever */
    IvshmemServerStats stats;
    uint32_t id_floor; /* every ID below is held, or known to somebody: of use to whoever goes on */
} StateHeader;

/** The mapping and where its parts are. */
typedef struct State {
    void *base;
    size_t size;
    uint32_t max_clients, max_vectors; /* it is laid out for: in another process's state, what the
                                          header says can change */
    dev_t device;                      /* with the inode, which memfd state_open() has mapped */
    ino_t inode;
    StateHeader *header;
    uint64_t *slots;     /* set of slots in use, max_clients bits */
    uint64_t *connected; /* set of slots that have a connection */
    Client *clients;     /* [max_clients] */
    Listener *listeners; /* [LISTENERS_MAX] */
    StateBatch *batch;
    int32_t *eventfds; /* [max_clients][max_vectors], of the ID that the client holds */
    uint64_t *present; /* set of IDs that somebody holds */
    uint32_t *holders; /* [WIRE_N_IDS]: slot, if the ID is present */
    uint32_t *changes; /* [STATE_N_CHANGES]: ID, of change number n at n % STATE_N_CHANGES */
    ViewWord *views;   /* tiles, see view_word() */
} State;

/**
 * Maps an empty state: of a file if there is one, so that it survives, else of memory.
 *
 * @param fd  a memfd, which is given its size; borrowed; -1: none
 * @return 0 or a negative errno
 */
int state_new(State *state, int fd, uint32_t max_clients, uint32_t max_vectors);

/**
 * Maps the state that a memfd holds.
 *
 * @return 0; -ENODATA if it is empty, -EPROTO if it is not a state, or another version's, -EBADMSG
 * if it is damaged, or what mmap fails with; error->text says what it is
 */
int state_open(State *state, int fd, ErrorText *error);

/** Whether it is the state in this memfd that state_open() has mapped. The inode is not another's:
 * it is in use as long as it is mapped. */
bool state_is_of(const State *state, int fd);

/** Whether the header of a mapped state still says what the mapping is laid out for, and no more
 * than there is room for: another process may have written to it. */
bool state_is_sound(const State *state);

/** Takes a state that is all zero, too. Closes no descriptor. */
void state_free(State *state);

/** What is done with a descriptor that the state names, which can be renumbered thereby.
 *  @param passed  it is of a client that is so */
typedef void StateVisit(void *opaque, int32_t *fd, bool passed);

/** Visits each: the memory, the listeners' sockets and locks, the clients' sockets and eventfds. */
void state_each_fd(const State *state, StateVisit *visit, void *opaque);

/** Visits those of the client in a slot. */
void state_each_fd_of(const State *state, uint32_t slot, StateVisit *visit, void *opaque);

/** The client in the slot is as one that has been told nothing. */
void state_reset_progress(Client *client);

/** The lowest free slot, now taken with an empty client that does not count yet, or STATE_NO_SLOT.
 */
uint32_t state_take_slot(State *state);

/** Keeps the compiler from moving stores across: what stands before is stored before what follows,
 *  for a process that is killed in between. (The next one runs afterwards: the processor's order
 *  does not matter.) */
static inline void state_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/** The slot is free again. Its descriptors are closed already. */
void state_drop_slot(State *state, uint32_t slot);

/** The eventfds of the client in a slot. */
static inline int32_t *state_eventfds(const State *state, uint32_t slot)
{
    return state->eventfds + (size_t)slot * state->header->max_vectors;
}
