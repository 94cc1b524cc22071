/* SPDX-License-Identifier: MIT */
/*
 * A started server, put together from its parts. Only `state` is what it must remember; the rest is
 * derived from it or belongs to this process.
 */
#pragma once

#include "ivshmem-server.h"
#include "region/region.h"
#include "server/credentials.h"
#include "server/flight.h"
#include "server/ids.h"
#include "server/linger.h"
#include "server/listener.h"
#include "server/lobby.h"
#include "server/outbox.h"
#include "server/peers.h"
#include "server/state.h"
#include "server/timers.h"
#include "server/uids.h"
#include "util/log.h"

#define TELL_AGAIN INT64_C(10000000000) /* ns, between two lines of the log on the same */

typedef struct ServerCore {
    IvshmemServer *server; /* the caller's, with the configuration */
    State state;
    Ids ids;
    Region region;
    ListenSocket first; /* the first one's, while it is only locked */
    uint32_t n_waiting; /* listeners that are not polled for now */
    uint32_t glance;    /* the listener that accept_glance() looks at next */
    Lobby lobby;
    Linger linger;
    Outbox outbox;
    Flight flight;
    Timers timers;
    Peers peers;
    Uids uids;
    CommandMemory refused;  /* who was refused last */
    bool limit_is_computed; /* max_clients is what the host program has made of RLIMIT_NOFILE */
    bool ids_warned;        /* that they are running out */
    int64_t ids_told_at;    /* when the log said last that they have run out */
    bool recovers_later;    /* the kernel lacked something that recover_turn() needs: TIMER_RETRY */
    int epoll_fd;
    int wake_fd;    /* readable while there is something to send: the next turn must not wait */
    bool awake;     /* it is readable */
    int reserve_fd; /* given up for a moment to refuse a client when descriptors have run out */
} ServerCore;

/* What an epoll event is about: its kind, and an index of that kind. */
typedef enum EventKind {
    EVENT_CLIENT, /* slot */
    EVENT_LISTENER,
    EVENT_TIMER,
    EVENT_WAKE,
} EventKind;

#define EVENT(kind, index) ((uint64_t)(kind) << 32 | (index))
#define EVENT_KIND(data)   ((EventKind)((data) >> 32))
#define EVENT_INDEX(data)  ((uint32_t)(data))

/**
 * Has the loop wait for an fd, or for other events of one that it waits for.
 *
 * @param op     EPOLL_CTL_ADD or EPOLL_CTL_MOD
 * @param about  an EVENT()
 * @return 0 or a negative errno
 */
int core_watch(ServerCore *core, int op, int fd, uint32_t events, uint64_t about);

/** To be called before an fd of the loop is closed. Otherwise the loop would go on telling of it
 *  while somebody else holds what it stands for: a child of the host program.
 *  @return 0 or a negative errno */
int core_unwatch(ServerCore *core, int fd);

/** Whether the most clients of the configuration is a number that nobody has asked for: it follows
 *  from RLIMIT_NOFILE, and the log says so. */
void core_tell_limit(ServerCore *core, bool is_computed);

/** Writes a line to the log callback; to standard output if there is none and `verbose` is set. */
__attribute__((format(printf, 3, 4))) void core_log(const IvshmemServer *server, int priority,
                                                    const char *format, ...);

/** Keeps and logs the text of an error. Gives the error back. */
__attribute__((format(printf, 3, 4))) int core_fail(IvshmemServer *server, int error,
                                                    const char *format, ...);
