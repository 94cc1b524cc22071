/* SPDX-License-Identifier: MIT */
#include "daemon/passed.h"

#include "daemon/daemon.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_FD 3

/* A number in the environment, 0 if there is none. */
static unsigned long number_in(const char *name)
{
    const char *text = getenv(name);
    char *end;
    unsigned long number;

    if (!text || *text < '0' || *text > '9')
        return 0;
    number = strtoul(text, &end, 10);
    return *end ? 0 : number;
}

/* Takes the next name from a list that colons separate; an empty one when there are no more. */
static size_t next_name(const char **names, const char **name)
{
    size_t length = *names ? strcspn(*names, ":") : 0;

    *name = *names ? *names : "";
    if (*names)
        *names = (*names)[length] ? *names + length + 1 : NULL;
    return length;
}

static bool listens(int fd)
{
    int value = 0;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

static bool is_of_parcel(const char *name, size_t length)
{
    return length >= strlen(PASSED_PARCEL) &&
           strncmp(name, PASSED_PARCEL, strlen(PASSED_PARCEL)) == 0;
}

static int take_socket(Passed *passed, int fd, const char *name, int length, ErrorText *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    PassedSocket *socket = &passed->sockets[passed->n];

    if (!listens(fd) || getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
        address.sun_family != AF_UNIX || !*address.sun_path)
        return error_set(error, -EINVAL,
                         "the service manager has passed descriptor %d (%.*s), which is not a Unix "
                         "socket that listens at a path",
                         fd, length, name);
    if (passed->n == PASSED_MAX)
        return error_set(error, -E2BIG, "the service manager has passed more than %d sockets",
                         PASSED_MAX);
    socket->fd = fd;
    memcpy(socket->path, address.sun_path, sizeof(socket->path) - 1);
    passed->n++;
    return 0;
}

static int take_parcel(Passed *passed, int fd, const char *name, ErrorText *error)
{
    if (passed->n_parcels == PASSED_MAX_PARCELS)
        return error_set(error, -E2BIG, "the service manager has stored more than %d parcels",
                         PASSED_MAX_PARCELS);
    /* A wrong number there is found when it is looked for. */
    passed->parcels[passed->n_parcels++] = (PassedParcel){fd, atoi(name + strlen(PASSED_PARCEL))};
    return 0;
}

int passed_take(Passed *passed, unsigned *n_fds, ErrorText *error)
{
    unsigned long n = number_in("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");

    *passed = (Passed){0};
    *n_fds = 0;
    if (number_in("LISTEN_PID") != (unsigned long)getpid() || n > INT_MAX - FIRST_FD)
        return 0;
    *n_fds = (unsigned)n;
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)n; fd++) {
        const char *name;
        size_t length = next_name(&names, &name);
        int r;

        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return error_set(error, -errno, "LISTEN_FDS is %lu, but descriptor %d: %s", n, fd,
                             strerror(errno));
        r = is_of_parcel(name, length) && !listens(fd)
                ? take_parcel(passed, fd, name, error)
                : take_socket(passed, fd, name, (int)length, error);
        if (r < 0)
            return r;
    }
    return 0;
}

int passed_find(const Passed *passed, const char *path)
{
    for (unsigned i = 0; i < passed->n; i++)
        if (strcmp(passed->sockets[i].path, path) == 0)
            return passed->sockets[i].fd;
    return -1;
}

static bool is_used(const char *path, const Daemon *daemon)
{
    if (strcmp(daemon->control.socket.path, path) == 0)
        return true;
    for (const DaemonRegion *region = daemon->regions; region; region = region->next)
        for (int i = 0; i < region->n_listeners; i++)
            if (region->listeners[i] && strcmp(region->listeners[i]->settings.path, path) == 0)
                return true;
    return false;
}

int passed_check(const Passed *passed, const Daemon *daemon, ErrorText *error)
{
    for (unsigned i = 0; i < passed->n; i++)
        if (!is_used(passed->sockets[i].path, daemon))
            return error_set(error, -EINVAL,
                             "no listener is configured for the socket %s that the service manager "
                             "has passed",
                             passed->sockets[i].path);
    return 0;
}
