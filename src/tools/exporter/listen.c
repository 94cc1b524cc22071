/* SPDX-License-Identifier: MIT */
#include "tools/exporter/listen.h"

#include "tools/exporter/exporter.h"
#include "util/cleanup.h"
#include "util/size.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 128

/* The address that the text stands for, to be freed; NULL if it is none. */
static struct addrinfo *parse(const char *text)
{
    static const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
        .ai_socktype = SOCK_STREAM,
    };
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    struct addrinfo *found = NULL;
    char host[LISTEN_MAX_NAME];
    uint64_t port;

    if (length == 0 || length >= sizeof(host) || count_parse(colon + 1, 0, 65535, &port) < 0)
        return NULL;
    (void)snprintf(host, sizeof(host), "%.*s", (int)length, text);
    if (host[0] != '[')
        return strchr(host, ':') || getaddrinfo(host, colon + 1, &hints, &found) ? NULL : found;
    if (host[length - 1] != ']')
        return NULL;
    host[length - 1] = '\0';
    return strchr(host, ':') && getaddrinfo(host + 1, colon + 1, &hints, &found) == 0 ? found
                                                                                      : NULL;
}

static int open_socket(const struct addrinfo *at)
{
    _cleanup_close_ int fd =
        socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return fd_steal(&fd);
}

static void tell_name(int fd, char name[static LISTEN_MAX_NAME])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    char host[LISTEN_MAX_NAME - 10] = "?", port[8] = "?";

    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        (void)getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(name, LISTEN_MAX_NAME, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

int listen_at(const char *text, char name[static LISTEN_MAX_NAME], ErrorText *error)
{
    struct addrinfo *at = parse(text);
    int fd;

    if (!at)
        return error_set(error, -EINVAL,
                         "--listen '%s': not a numeric address and a port, like " DEFAULT_LISTEN
                         " or [::1]:10411",
                         text);
    fd = open_socket(at);
    freeaddrinfo(at);
    if (fd < 0)
        return error_set(error, fd, "cannot listen at %s: %s", text, strerror(-fd));
    tell_name(fd, name);
    return fd;
}
