/* SPDX-License-Identifier: MIT */
#include "daemon/control/control.h"

#include "daemon/control/json.h"
#include "daemon/daemon.h"
#include "daemon/process/report.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>

#define BACKLOG 128

static const char full[] = "{\"error\": {\"class\": \"GenericError\", "
                           "\"desc\": \"too many connections to the control socket\"}}\r\n";

/* Out of descriptors: the one in reserve lets a connection in to be turned away, so that it does
 * not keep the loop awake. */
static void refuse_with_reserve(Control *control)
{
    control->reserve_fd = fd_close(control->reserve_fd);
    fd_close(accept4(control->handler.fd, NULL, NULL, SOCK_CLOEXEC));
    control->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Takes one connection. */
static void accept_one(void *owner, uint32_t events)
{
    Control *control = owner;
    int sock = accept4(control->handler.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (sock < 0) {
        if (errno == EMFILE || errno == ENFILE)
            refuse_with_reserve(control);
    } else if (session_open(control, sock) < 0) {
        report_line(LOG_WARNING, NULL, "a connection to the control socket was lost: no memory");
    }
}

void control_refuse(int sock)
{
    (void)!send(sock, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Those who may only query cannot keep out those who may do something about it. */
bool control_has_room(const Control *control, bool may_change)
{
    return control->n_sessions < CONTROL_MAX_SESSIONS &&
           (may_change || control->n_queriers < CONTROL_MAX_SESSIONS - CONTROL_KEPT);
}

int control_open(Control *control, struct Daemon *daemon, const ControlSpec *spec, ErrorText *error)
{
    bool has_group = spec->gid != (gid_t)-1;
    const ListenSpec listen = {
        .path = spec->path,
        .backlog = BACKLOG,
        .mode = has_group ? 0660 : 0600,
        .uid = spec->uid,
        .gid = spec->gid,
        .fd = passed_find(daemon->passed, spec->path),
    };
    int r = listen_socket_lock(&control->socket, &listen, error);

    if (r == 0)
        r = listen_socket_open(&control->socket, &listen, error);
    if (r < 0) {
        listen_socket_close(&control->socket);
        return r;
    }
    return control_resume(control, daemon, &control->socket, error);
}

/* seccomp: openat open */
int control_resume(Control *control, struct Daemon *daemon, const ListenSocket *socket,
                   ErrorText *error)
{
    int r;

    control->socket = *socket;
    control->daemon = daemon;
    control->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    control->handler =
        (LoopHandler){.fd = control->socket.fd, .ready = accept_one, .owner = control};
    r = loop_add(&daemon->loop, &control->handler, EPOLLIN);
    if (r < 0)
        return error_set(error, r, "cannot poll: %s", strerror(-r));
    return 0;
}

void control_close(Control *control)
{
    while (control->sessions)
        session_close(control->sessions);
    listen_socket_close(&control->socket);
    control->reserve_fd = fd_close(control->reserve_fd);
}

void control_abandon(Control *control)
{
    control->reserve_fd = fd_close(control->reserve_fd);
    *control = CONTROL_NONE;
}

void control_attach(Control *control, Session *session)
{
    session->next = control->sessions;
    session->previous_next = &control->sessions;
    if (session->next)
        session->next->previous_next = &session->next;
    control->sessions = session;
    control->n_sessions++;
    control->n_queriers += !session->may_change;
}

void control_detach(Control *control, Session *session)
{
    *session->previous_next = session->next;
    if (session->next)
        session->next->previous_next = session->previous_next;
    control->n_sessions--;
    control->n_queriers -= !session->may_change;
}

bool control_is_heard(const Control *control)
{
    for (const Session *session = control->sessions; session; session = session->next)
        if (session->is_negotiated)
            return true;
    return false;
}

void control_tell(Control *control, const char *event, json_t *data)
{
    json_t *message = json_event(event, data);
    size_t length;
    _cleanup_free_ char *line = json_line(message, &length);
    Session *next;

    json_decref(message);
    for (Session *session = control->sessions; line && session; session = next) {
        next = session->next;
        session_send_event(session, line, length);
    }
}
