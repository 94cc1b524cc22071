/* SPDX-License-Identifier: MIT */
#include "qmp/qmp.h"

#include "util/address.h"
#include "util/cleanup.h"
#include "util/deadline.h"

#include <poll.h>
#include <string.h>
#include <sys/time.h>

#define READ_SIZE 65536

static int connect_to(Qmp *qmp)
{
    struct timeval limit = {qmp->timeout_ms / 1000, qmp->timeout_ms % 1000 * 1000L};
    int flags = qmp->timeout_ms ? 0 : SOCK_NONBLOCK;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    struct sockaddr_un address;
    int r = fd < 0 ? -errno : address_of_path(qmp->path, &address);

    if (r == 0 && (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
                   connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0))
        r = -errno;
    if (r == -EAGAIN)
        r = -ETIMEDOUT; /* too many others are waiting there */
    if (r < 0)
        return error_set(&qmp->error, -1, "cannot connect to %s: %s", qmp->path, strerror(-r));
    return fd_steal(&fd);
}

int qmp_connect(Qmp *qmp, const char *path, int timeout_ms)
{
    *qmp = QMP_NONE;
    qmp->path = path;
    qmp->timeout_ms = timeout_ms;
    qmp->fd = connect_to(qmp);
    return qmp->fd < 0 ? -1 : 0;
}

bool qmp_has_message(Qmp *qmp)
{
    const char *end = qmp->used > qmp->looked
                          ? memchr(qmp->buffer + qmp->looked, '\n', qmp->used - qmp->looked)
                          : NULL;

    qmp->looked = end ? (size_t)(end - qmp->buffer) : qmp->used;
    return end;
}

json_t *qmp_take(Qmp *qmp)
{
    size_t length = qmp->looked + 1;
    json_error_t wrong;
    json_t *message = json_loadb(qmp->buffer, length, 0, &wrong);

    qmp->used -= length;
    qmp->looked = 0;
    memmove(qmp->buffer, qmp->buffer + length, qmp->used);
    if (!message)
        (void)error_set(&qmp->error, -1, "%s: what the server has sent is not JSON: %s", qmp->path,
                        wrong.text);
    return message;
}

static int make_room(Qmp *qmp)
{
    char *more;

    if (qmp->size - qmp->used >= READ_SIZE)
        return 0;
    more = qmp->size < QMP_MAX_MESSAGE ? realloc(qmp->buffer, 2 * qmp->size + READ_SIZE) : NULL;
    if (!more)
        return error_set(&qmp->error, -1, "%s: the server's answer is too long", qmp->path);
    qmp->buffer = more;
    qmp->size = 2 * qmp->size + READ_SIZE;
    return 0;
}

int qmp_read(Qmp *qmp)
{
    ssize_t n;

    if (make_room(qmp) < 0)
        return -1;
    n = read(qmp->fd, qmp->buffer + qmp->used, qmp->size - qmp->used);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0)
        return error_set(&qmp->error, -1, "%s: the server has closed the connection", qmp->path);
    qmp->used += (size_t)n;
    return 0;
}

json_t *qmp_receive(Qmp *qmp)
{
    struct pollfd event = {.fd = qmp->fd, .events = POLLIN};
    int64_t deadline = deadline_after(qmp->timeout_ms);

    while (!qmp_has_message(qmp)) {
        int n = poll(&event, 1, deadline_left(deadline));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            (void)error_set(&qmp->error, -1, "%s: the server does not answer", qmp->path);
        if (n <= 0 || qmp_read(qmp) < 0)
            return NULL;
    }
    return qmp_take(qmp);
}

static int send_all(Qmp *qmp, const char *text)
{
    size_t left = strlen(text);

    while (left) {
        ssize_t n = send(qmp->fd, text, left, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(&qmp->error, -1, "%s: cannot send: %s", qmp->path, strerror(errno));
        text += n;
        left -= (size_t)n;
    }
    return 0;
}

int qmp_send(Qmp *qmp, const char *command, json_t *arguments)
{
    json_t *message = json_pack("{s:s,s:o}", "execute", command, "arguments",
                                arguments ? arguments : json_object());
    _cleanup_free_ char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

    json_decref(message);
    if (!text)
        return error_set(&qmp->error, -1, "%s: the arguments cannot be sent: they are not UTF-8",
                         command);
    return send_all(qmp, text);
}

json_t *qmp_result(Qmp *qmp, const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    const char *text = json_string_value(json_object_get(error, "desc"));
    json_t *result = json_object_get(answer, "return");

    if (error && text)
        (void)error_set(&qmp->error, -1, "%s", text);
    else if (error || !result)
        (void)error_set(&qmp->error, -1, "%s: the server's answer is neither a result nor an error",
                        qmp->path);
    return error ? NULL : json_incref(result);
}

json_t *qmp_ask(Qmp *qmp, const char *command, json_t *arguments)
{
    json_t *message, *result;

    if (qmp_send(qmp, command, arguments) < 0)
        return NULL;
    while ((message = qmp_receive(qmp)) && json_object_get(message, "event"))
        json_decref(message);
    result = message ? qmp_result(qmp, message) : NULL;
    json_decref(message);
    return result;
}

int qmp_check_greeting(Qmp *qmp, const json_t *message)
{
    if (json_object_get(message, "QMP"))
        return 0;
    return error_set(&qmp->error, -1, "%s is no control socket, or takes no more connections",
                     qmp->path);
}

int qmp_open(Qmp *qmp, const char *path, int timeout_ms)
{
    json_t *greeting, *answer = NULL;

    if (qmp_connect(qmp, path, timeout_ms) < 0)
        return -1;
    greeting = qmp_receive(qmp);
    if (greeting && qmp_check_greeting(qmp, greeting) == 0)
        answer = qmp_ask(qmp, "qmp_capabilities", NULL);
    json_decref(greeting);
    json_decref(answer);
    return answer ? 0 : -1;
}

void qmp_close(Qmp *qmp)
{
    qmp->fd = fd_close(qmp->fd);
    free(qmp->buffer);
    qmp->buffer = NULL;
    qmp->used = qmp->size = qmp->looked = 0;
}
