/* SPDX-License-Identifier: MIT */
#include "tools/ctl/qmp.h"

#include "tools/ctl/ctl.h"
#include "util/address.h"
#include "util/cleanup.h"
#include "util/deadline.h"

#include <poll.h>
#include <string.h>

#define READ_SIZE 65536

static int connect_to(const char *path)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    int r = address_of_path(path, &address);

    if (r < 0 || fd < 0) {
        (void)ctl_error("cannot connect to %s: %s", path, strerror(r < 0 ? -r : errno));
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        (void)ctl_error("cannot connect to %s: %s", path, strerror(errno));
        return -1;
    }
    return fd_steal(&fd);
}

/* The first whole line of the buffer as a message. */
static json_t *take_line(Qmp *qmp)
{
    const char *end = qmp->used ? memchr(qmp->buffer, '\n', qmp->used) : NULL;
    json_error_t wrong;
    json_t *message;
    size_t length;

    if (!end)
        return NULL;
    length = (size_t)(end - qmp->buffer) + 1;
    message = json_loadb(qmp->buffer, length, 0, &wrong);
    qmp->used -= length;
    memmove(qmp->buffer, qmp->buffer + length, qmp->used);
    if (!message)
        (void)ctl_error("what the server has sent is not JSON: %s", wrong.text);
    return message;
}

static bool read_more(Qmp *qmp)
{
    ssize_t n;

    if (qmp->size - qmp->used < READ_SIZE) {
        char *more =
            qmp->size < QMP_MAX_MESSAGE ? realloc(qmp->buffer, 2 * qmp->size + READ_SIZE) : NULL;

        if (!more) {
            (void)ctl_error("the server's answer is too long");
            return false;
        }
        qmp->buffer = more;
        qmp->size = 2 * qmp->size + READ_SIZE;
    }
    n = read(qmp->fd, qmp->buffer + qmp->used, qmp->size - qmp->used);
    if (n > 0)
        qmp->used += (size_t)n;
    else
        (void)ctl_error("the server has closed the connection");
    return n > 0;
}

json_t *qmp_receive(Qmp *qmp, int timeout_ms)
{
    struct pollfd event = {.fd = qmp->fd, .events = POLLIN};
    int64_t deadline = deadline_after(timeout_ms);

    for (;;) {
        json_t *message;
        int n;

        if (qmp->used && memchr(qmp->buffer, '\n', qmp->used)) {
            message = take_line(qmp);
            return message;
        }
        n = poll(&event, 1, deadline_left(deadline));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 && timeout_ms)
            (void)ctl_error("the server does not answer");
        if (n <= 0 || !read_more(qmp))
            return NULL;
    }
}

static bool send_all(const Qmp *qmp, const char *text)
{
    size_t left = strlen(text);

    while (left) {
        ssize_t n = send(qmp->fd, text, left, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)ctl_error("cannot send to the server: %s", strerror(errno));
            return false;
        }
        text += n;
        left -= (size_t)n;
    }
    return true;
}

/* The answer to what was sent, past events. */
static json_t *take_answer(Qmp *qmp)
{
    json_t *message, *result;
    const json_t *error;

    while ((message = qmp_receive(qmp, qmp->timeout_ms)) && json_object_get(message, "event"))
        json_decref(message);
    if (!message)
        return NULL;
    error = json_object_get(message, "error");
    result = json_incref(json_object_get(message, "return"));
    if (error)
        (void)ctl_error("%s", json_string_value(json_object_get(error, "desc")));
    else if (!result)
        (void)ctl_error("the server's answer is neither a result nor an error");
    json_decref(message);
    return result;
}

json_t *qmp_ask(Qmp *qmp, const char *command, json_t *arguments)
{
    json_t *message = json_pack("{s:s,s:o}", "execute", command, "arguments",
                                arguments ? arguments : json_object());
    _cleanup_free_ char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

    json_decref(message);
    if (!text) {
        (void)ctl_error("%s: the arguments cannot be sent: they are not UTF-8", command);
        return NULL;
    }
    return send_all(qmp, text) ? take_answer(qmp) : NULL;
}

int qmp_open(Qmp *qmp, const char *path, int timeout_ms)
{
    json_t *greeting, *answer = NULL;

    *qmp = (Qmp){.fd = connect_to(path), .timeout_ms = timeout_ms};
    if (qmp->fd < 0)
        return -1;
    greeting = qmp_receive(qmp, timeout_ms);
    if (json_object_get(greeting, "QMP"))
        answer = qmp_ask(qmp, "qmp_capabilities", NULL);
    else if (greeting)
        (void)ctl_error("%s is no control socket, or takes no more connections", path);
    json_decref(greeting);
    json_decref(answer);
    return answer ? 0 : -1;
}

void qmp_close(Qmp *qmp)
{
    qmp->fd = fd_close(qmp->fd);
    free(qmp->buffer);
    qmp->buffer = NULL;
}
