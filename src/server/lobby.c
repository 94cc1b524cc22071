/* SPDX-License-Identifier: MIT */
#include "server/lobby.h"

#include "server/client.h"
#include "server/core.h"
#include "util/cleanup.h"

#include <errno.h>
#include <stdlib.h>

#define HUNG_UP_TURN 64 /* connections of a turn that need not be set up any more */
#define GLANCE_AFTER 16 /* of these: they take as long as a set-up */

struct LobbyPlace {
    int sock;
    LobbyPlace *next;
};

/* Takes the first of a queue out. */
static int take_first(Lobby *lobby, LobbyQueue *queue)
{
    LobbyPlace *place = queue->first;
    int sock = place->sock;

    queue->first = place->next;
    queue->n--;
    lobby->n--;
    free(place);
    return sock;
}

static void clear_queue(Lobby *lobby, LobbyQueue *queue)
{
    while (queue->n)
        fd_close(take_first(lobby, queue));
}

void lobby_free(Lobby *lobby)
{
    for (unsigned i = 0; i < lobby->n_queues; i++)
        clear_queue(lobby, &lobby->queues[i]);
    free(lobby->queues);
    *lobby = (Lobby){0};
}

void lobby_each_fd(const Lobby *lobby, void (*named)(void *opaque, int fd), void *opaque)
{
    for (unsigned i = 0; i < lobby->n_queues; i++)
        for (const LobbyPlace *place = lobby->queues[i].first; place; place = place->next)
            named(opaque, place->sock);
}

void lobby_clear(Lobby *lobby, const Listener *listener)
{
    for (unsigned i = 0; i < lobby->n_queues; i++)
        if (lobby->queues[i].listener == listener->index)
            clear_queue(lobby, &lobby->queues[i]);
}

static LobbyQueue *find_queue(const Lobby *lobby, uint32_t listener, uid_t uid)
{
    for (unsigned i = 0; i < lobby->n_queues; i++)
        if (lobby->queues[i].listener == listener && lobby->queues[i].uid == uid)
            return &lobby->queues[i];
    return NULL;
}

static LobbyQueue *add_queue(Lobby *lobby, uint32_t listener, uid_t uid)
{
    if (lobby->n_queues == lobby->n_allocated) {
        unsigned n = lobby->n_allocated ? 2 * lobby->n_allocated : 4;
        LobbyQueue *more = reallocarray(lobby->queues, n, sizeof(*more));

        if (!more)
            return NULL;
        lobby->queues = more;
        lobby->n_allocated = n;
    }
    lobby->queues[lobby->n_queues] = (LobbyQueue){.listener = listener, .uid = uid};
    return &lobby->queues[lobby->n_queues++];
}

bool lobby_goes_first(Lobby *lobby, const Listener *listener, uid_t uid)
{
    LobbyQueue *queue = find_queue(lobby, listener->index, uid);

    if (!queue)
        queue = add_queue(lobby, listener->index, uid);
    if (!queue || queue->n > 0 || queue->had_turn)
        return false;
    queue->had_turn = true;
    return true;
}

#pragma GCC diagnostic push
#ifndef __clang__ /* gcc 12 takes what an element of a table points to for lost */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
int lobby_add(Lobby *lobby, const Listener *listener, uid_t uid, int sock)
{
    LobbyQueue *queue = find_queue(lobby, listener->index, uid);
    LobbyPlace **end;

    if (!queue)
        return -ENOMEM;
    end = queue->n ? &queue->last->next : &queue->first;
    *end = malloc(sizeof(**end));
    if (!*end)
        return -ENOMEM;
    **end = (LobbyPlace){.sock = sock};
    queue->last = *end;
    queue->n++;
    lobby->n++;
    return 0;
}
#pragma GCC diagnostic pop

static void search_queue(Lobby *lobby, LobbyQueue *queue)
{
    LobbyPlace **link = &queue->first;

    queue->was_searched = true;
    while (*link) {
        LobbyPlace *place = *link;

        if (client_is_gone(place->sock)) {
            *link = place->next;
            fd_close(place->sock);
            free(place);
            queue->n--;
            lobby->n--;
        } else {
            queue->last = place;
            link = &place->next;
        }
    }
}

unsigned lobby_count(const Lobby *lobby, uid_t uid)
{
    unsigned n = 0;

    for (unsigned i = 0; i < lobby->n_queues; i++)
        if (lobby->queues[i].uid == uid)
            n += lobby->queues[i].n;
    return n;
}

void lobby_drop_hung_up(Lobby *lobby, uid_t uid)
{
    for (unsigned i = 0; i < lobby->n_queues; i++)
        if (lobby->queues[i].uid == uid && !lobby->queues[i].was_searched)
            search_queue(lobby, &lobby->queues[i]);
}

static unsigned count_of_listener(const Lobby *lobby, const Listener *listener)
{
    unsigned n = 0;

    for (unsigned i = 0; i < lobby->n_queues; i++)
        if (lobby->queues[i].listener == listener->index)
            n += lobby->queues[i].n;
    return n;
}

bool lobby_has_room(const ServerCore *core, const Listener *listener)
{
    const Lobby *lobby = &core->lobby;

    return lobby->n < LOBBY_MAX &&
           listener_has_room(core, listener, lobby->n, count_of_listener(lobby, listener));
}

/* The queue whose turn it is, of those whose listener lets somebody in now; NULL if there is none.
 */
static LobbyQueue *next_queue(ServerCore *core)
{
    Lobby *lobby = &core->lobby;

    for (unsigned i = 0; i < lobby->n_queues; i++) {
        LobbyQueue *queue = &lobby->queues[lobby->turn++ % lobby->n_queues];
        Listener *listener = queue->n ? listener_at(core, queue->listener) : NULL;

        if (listener && accept_may_admit(core, listener, queue->first->sock))
            return queue;
    }
    return NULL;
}

/* A queue without connections was only there to say that its user has had his turn. */
static void end_turn(Lobby *lobby)
{
    unsigned n = 0;

    for (unsigned i = 0; i < lobby->n_queues; i++) {
        lobby->queues[i].had_turn = lobby->queues[i].was_searched = false;
        if (lobby->queues[i].n > 0)
            lobby->queues[n++] = lobby->queues[i];
    }
    lobby->n_queues = n;
}

void lobby_turn(ServerCore *core)
{
    unsigned n_set_up = 0, n_hung_up = 0;
    LobbyQueue *queue;

    while (n_set_up < LOBBY_TURN && n_hung_up < HUNG_UP_TURN && (queue = next_queue(core))) {
        Listener *listener = listener_at(core, queue->listener);

        if (accept_take(core, listener, take_first(&core->lobby, queue)))
            n_set_up++;
        else if (++n_hung_up % GLANCE_AFTER)
            continue;
        accept_glance(core); /* who comes meanwhile does not wait for all of these */
    }
    end_turn(&core->lobby);
    if (n_set_up + n_hung_up > 0)
        listeners_resume(core);
}

bool lobby_has_work(const ServerCore *core)
{
    const Lobby *lobby = &core->lobby;

    for (unsigned i = 0; i < lobby->n_queues; i++) {
        const LobbyQueue *queue = &lobby->queues[i];
        const Listener *listener = queue->n ? listener_at(core, queue->listener) : NULL;

        if (listener && accept_is_due(core, listener))
            return true;
    }
    return false;
}
