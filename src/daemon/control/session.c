/* SPDX-License-Identifier: MIT */
#include "daemon/control/session.h"

#include "daemon/control/command.h"
#include "daemon/control/control.h"
#include "daemon/control/json.h"
#include "daemon/daemon.h"
#include "server/credentials.h"
#include "util/cleanup.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_SIZE 4096 /* bytes in a turn */

static size_t unread(const Session *session)
{
    return session->out_used - session->out_sent;
}

/* Whether the next command may be done. */
static bool may_take(const Session *session)
{
    return unread(session) < SESSION_MAX_UNREAD && !session->is_closing && !session->is_leaving;
}

/* What is waited for follows from the state. A command that is in the buffer already is done when
 * the socket can be written to, which it is or the answer would not get out anyhow. */
static void watch(Session *session)
{
    uint32_t events = 0;

    if ((may_take(session) && !session->has_ended) || (session->is_leaving && !unread(session)))
        events |= EPOLLIN;
    if (unread(session) || (session->in_used && !session->framer.scanned))
        events |= EPOLLOUT;
    loop_change(&session->control->daemon->loop, &session->handler, events);
}

/* Makes room for more bytes at the end of the output. */
static bool grow_out(Session *session, size_t more)
{
    char *bigger;
    size_t size;

    if (session->out_sent) {
        memmove(session->out, session->out + session->out_sent, unread(session));
        session->out_used -= session->out_sent;
        session->out_sent = 0;
    }
    if (session->out_used + more <= session->out_size)
        return true;
    size = session->out_used + more + READ_SIZE;
    bigger = realloc(session->out, size);
    if (!bigger)
        return false;
    session->out = bigger;
    session->out_size = size;
    return true;
}

static bool put(Session *session, const char *bytes, size_t length)
{
    if (!grow_out(session, length))
        return false;
    memcpy(session->out + session->out_used, bytes, length);
    session->out_used += length;
    return true;
}

/* Sends what can be sent; frees the buffer when it is empty. seccomp: sendto */
static void flush(Session *session)
{
    while (unread(session)) {
        ssize_t n = send(session->handler.fd, session->out + session->out_sent, unread(session),
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            session_close(session);
        if (n < 0)
            return;
        session->out_sent += (size_t)n;
    }
    free(session->out);
    session->out = NULL;
    session->out_sent = session->out_used = session->out_size = 0;
}

/* Takes the value over. */
static void put_json(Session *session, json_t *value)
{
    size_t length;
    _cleanup_free_ char *line = json_line(value, &length);

    json_decref(value);
    if (!line || !put(session, line, length))
        session_close(session);
}

static void tell_dropped(Session *session)
{
    json_t *event;

    if (!session->n_dropped || session->is_closing || session->is_leaving ||
        unread(session) >= SESSION_MAX_UNREAD)
        return;
    event = json_event("EVENTS_DROPPED", json_pack("{s:i}", "count", (int)session->n_dropped));
    session->n_dropped = 0;
    put_json(session, event);
}

/* One that is closing or leaving has its last line: more would put that off for as long as events
 * come. */
void session_send_event(Session *session, const char *line, size_t length)
{
    if (session->handler.retired || !session->is_negotiated || session->is_closing ||
        session->is_leaving)
        return;
    tell_dropped(session);
    if (unread(session) + length > SESSION_MAX_UNREAD || !put(session, line, length)) {
        if (++session->n_dropped > SESSION_MAX_DROPPED)
            session_close(session);
        return;
    }
    flush(session);
    watch(session);
}

static void answer_frame(Session *session, FrameKind kind, size_t length)
{
    json_t *answer = kind == FRAME_JSON ? command_answer(session, session->in, length)
                                        : json_error("GenericError", "Invalid JSON syntax");

    session->in_used -= length;
    memmove(session->in, session->in + length, session->in_used);
    put_json(session, answer);
}

/* Does one command, if there is one. */
static void take_command(Session *session)
{
    size_t length;
    FrameKind kind = framer_next(&session->framer, session->in, session->in_used, &length);

    if (kind != FRAME_NONE) {
        session->control->busy_turn = session->control->daemon->loop.turn;
        session->round = session->control->round;
        answer_frame(session, kind, length);
    } else if (session->in_used >= SESSION_MAX_REQUEST) {
        put_json(session, json_error("GenericError", "the command has more than 65536 bytes"));
        session->is_closing = true;
    }
    if (session->has_ended && (kind == FRAME_NONE || !session->in_used))
        session->is_closing = true;
    if (!session->in_used) {
        free(session->in);
        session->in = NULL;
        session->in_size = 0;
        session->framer = (Framer){0};
    }
}

/* Reads what there is, up to a bound. Who has shut down his sending side still gets his answers.
 * False if the connection is broken. */
static bool read_some(Session *session)
{
    ssize_t n;

    if (session->in_size - session->in_used < READ_SIZE) {
        char *bigger = realloc(session->in, session->in_used + READ_SIZE);

        if (!bigger)
            return false;
        session->in = bigger;
        session->in_size = session->in_used + READ_SIZE;
    }
    n = recv(session->handler.fd, session->in + session->in_used, READ_SIZE, MSG_DONTWAIT);
    if (n > 0)
        session->in_used += (size_t)n;
    session->has_ended = n == 0;
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

/* Of two who have asked for everything, it is the later one who gets it. */
static void begin_to_leave(Session *session)
{
    for (Session *other = session->control->sessions, *next; other; other = next) {
        next = other->next;
        if (other->is_leaving)
            session_close(other);
    }
    session->is_leaving = true;
    session->control->hands_over = false;
}

/* The answer to the command is out: what follows is another protocol (succession.h). */
static void hand_over(Session *session)
{
    if (!session->handler.retired &&
        !daemon_hand_over(session->control->daemon, session->handler.fd))
        session_close(session);
}

/* Whether the session may do a command in this turn of the loop: one of all sessions together, as
 * the regions come first, and one of each in a round. epoll names who is ready in the same order
 * every time, so the first of them could hold all others up otherwise. A round is over when nobody
 * has done a command in a turn: whoever has one then has had his. */
static bool is_its_turn(const Session *session)
{
    Control *control = session->control;
    uint64_t turn = control->daemon->loop.turn;

    if (control->busy_turn == turn)
        return false;
    if (session->round != control->round)
        return true;
    if (control->busy_turn + 1 == turn)
        return false;
    control->round++;
    return true;
}

static void ready(void *owner, uint32_t events)
{
    Session *session = owner;

    if (!is_its_turn(session)) /* it will be ready in the next turn, too */
        return;
    if (events & EPOLLIN && session->in_used < SESSION_MAX_REQUEST && !session->is_leaving &&
        !read_some(session)) {
        session_close(session);
        return;
    }
    if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN)) {
        session_close(session);
        return;
    }
    if (may_take(session) && (session->in_used || session->has_ended))
        take_command(session);
    if (session->control->hands_over)
        begin_to_leave(session);
    if (!session->handler.retired)
        flush(session);
    if (session->is_leaving && !unread(session))
        hand_over(session);
    if (!session->handler.retired)
        tell_dropped(session);
    if (session->is_closing && !unread(session))
        session_close(session);
    if (!session->handler.retired)
        watch(session);
}

static void destroy(void *owner)
{
    Session *session = owner;

    fd_close(session->handler.fd);
    free(session->in);
    free(session->out);
    free(session);
}

/* seccomp: geteuid */
static void identify(Session *session, int sock)
{
    Credentials credentials;

    credentials_get(&credentials, sock);
    session->pid = credentials.who.pid;
    session->uid = credentials.who.uid;
    session->may_change = session->uid == 0 || session->uid == geteuid();
    credentials_free(&credentials);
}

int session_open(Control *control, int sock)
{
    Session *session = calloc(1, sizeof(*session));
    int r;

    if (!session) {
        fd_close(sock);
        return -ENOMEM;
    }
    session->control = control;
    session->round = control->round - 1;
    session->handler = (LoopHandler){sock, ready, destroy, session, NULL, false};
    identify(session, sock);
    if (!control_has_room(control, session->may_change)) {
        control_refuse(sock);
        destroy(session);
        return 0;
    }
    r = loop_add(&control->daemon->loop, &session->handler, EPOLLIN);
    if (r < 0) {
        destroy(session);
        return r;
    }
    control_attach(control, session);
    put_json(session,
             json_pack("{s:{s:o,s:[]}}", "QMP", "version", json_version(), "capabilities"));
    if (!session->handler.retired)
        flush(session);
    if (!session->handler.retired)
        watch(session);
    return 0;
}

void session_close(Session *session)
{
    if (session->handler.retired)
        return;
    control_detach(session->control, session);
    loop_retire(&session->control->daemon->loop, &session->handler);
}
