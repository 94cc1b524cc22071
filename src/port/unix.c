/* SPDX-License-Identifier: MIT */
/*
 * A port on the host: a client of a server's socket. It has no notification callback, so its
 * vectors are left to the port's waits, and what its one descriptor tells is news of peers.
 *
 * Waiting is one poll of one descriptor and one read, as in a program that has nothing but the
 * eventfd. The news is a second descriptor, which costs, so it is in the same poll only when
 * nothing has come for a while, and every now and then. The end of the server ends no wait.
 */
#include "port/port.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "util/deadline.h"
#include "util/nowait.h"

#define SCHEME     "unix:"
#define ID_MAX     0xffff
#define NEWS_EVERY 64  /* waits */
#define QUICK_MS   100 /* longer than a tick: a shorter one would have a timer set for it */

static void log_client(void *opaque, int priority, const char *line)
{
    const IvshmemPort *port = opaque;

    if (priority > LOG_ERR) /* errors are said once, by us */
        log_line(&port->log, priority, "%s", line);
}

/* Says what the client says is wrong, and where. */
static int fail(const IvshmemPort *port, int result)
{
    const char *path = port->client->unix_sock_path;
    const char *what = ivshmem_client_error(port->client);

    if (!*what)
        what = strerror(-result);
    if (strstr(what, path))
        log_line(&port->log, LOG_ERR, "%s", what);
    else
        log_line(&port->log, LOG_ERR, "%s: %s", path, what);
    return result;
}

static void tell(const IvshmemClientPeer *peer, void *arg, bool left)
{
    const IvshmemPort *port = arg;
    const IvshmemPortPeer told = {.id = (unsigned)peer->id, .n_vectors = peer->vectors_count};
    void (*callback)(void *, const IvshmemPortPeer *) =
        left ? port->options.left : port->options.connected;

    if (callback)
        callback(port->options.opaque, &told);
}

static void on_connected(const IvshmemClient *client, const IvshmemClientPeer *peer, void *arg)
{
    (void)client;
    tell(peer, arg, false);
}

static void on_left(const IvshmemClient *client, const IvshmemClientPeer *peer, void *arg)
{
    (void)client;
    tell(peer, arg, true);
}

static int prepare(IvshmemPort *port, const char *path)
{
    int result = ivshmem_client_init(port->client, path, NULL, NULL, false);

    if (result < 0) {
        log_line(&port->log, LOG_ERR, "the socket '%s': %s", path, strerror(-result));
        return result;
    }
    ivshmem_client_set_vectors(port->client, port->options.n_vectors);
    ivshmem_client_set_wary(port->client, port->options.wary);
    ivshmem_client_set_log(port->client, log_client, port);
    ivshmem_client_set_peer_callbacks(port->client, on_connected, on_left, port);
    port->name = malloc(sizeof(SCHEME) + strlen(path));
    if (!port->name)
        return -ENOMEM;
    memcpy(port->name, SCHEME, sizeof(SCHEME));
    memcpy(port->name + sizeof(SCHEME) - 1, path, strlen(path) + 1);
    return 0;
}

static int share_memory(IvshmemPort *port)
{
    struct stat status;

    if (!port->options.no_memory)
        return ivshmem_client_map(port->client, !port->options.read_only, 0, &port->memory,
                                  &port->memory_size);
    if (fstat(port->client->shm_fd, &status) == 0)
        port->memory_size = (size_t)status.st_size;
    return 0;
}

static int open_unix(IvshmemPort *port, const char *where, const IvshmemPortOptions *options)
{
    int timeout_ms = options->timeout_ms ? options->timeout_ms : IVSHMEM_PORT_TIMEOUT_MS;
    int64_t deadline = deadline_after(timeout_ms);
    int result;

    port->client = calloc(1, sizeof(*port->client));
    if (!port->client)
        return -ENOMEM;
    result = prepare(port, where);
    if (result < 0)
        return result;
    result = ivshmem_client_connect_timeout(port->client, timeout_ms);
    if (result == 0)
        result = ivshmem_client_wait_ready(port->client, deadline_left(deadline));
    if (result == 0)
        result = share_memory(port);
    if (result < 0)
        return fail(port, result);
    port->id = (int)port->client->local.id;
    port->interrupts = true;
    return 0;
}

static void close_unix(IvshmemPort *port)
{
    if (port->memory)
        (void)munmap(port->memory, port->memory_size);
    if (port->client)
        ivshmem_client_close(port->client);
    free(port->client);
}

static unsigned n_vectors(const IvshmemPort *port)
{
    return port->client->local.vectors_count;
}

static int vector_fd(const IvshmemPort *port, unsigned vector)
{
    return vector < n_vectors(port) ? port->client->local.vectors[vector] : -EINVAL;
}

static int news_fd(const IvshmemPort *port)
{
    return ivshmem_client_get_fd(port->client);
}

/* For those who wait for something else: what is wrong is kept for the next dispatch. */
static void take_news(IvshmemPort *port)
{
    int result = ivshmem_client_dispatch(port->client);

    if (result < 0)
        port->lost = fail(port, result);
}

static int dispatch(IvshmemPort *port)
{
    int lost;

    take_news(port);
    lost = port->lost;
    port->lost = 0;
    return lost;
}

int port_ring_unix(IvshmemPort *port, unsigned peer, unsigned vector)
{
    static const uint64_t one = 1;
    IvshmemClient *client = port->client;
    const IvshmemClientPeer *found = ivshmem_client_search_peer(client, peer);

    if (!found) {
        if (peer > ID_MAX || vector > PORT_VECTOR_MAX)
            return -EINVAL;
        take_news(port); /* it may have come just now */
        found = ivshmem_client_search_peer(client, peer);
    }
    if (!found)
        return -ENOENT;
    if (vector >= found->vectors_count)
        return vector > PORT_VECTOR_MAX ? -EINVAL : -ERANGE;
    if (port->options.wary)
        return ivshmem_client_notify(client, found, vector);
    /* A counter that is full is as rung as can be. */
    return write(found->vectors[vector], &one, sizeof(one)) < 0 && errno != EAGAIN ? -errno : 0;
}

/* Takes a doorbell. 1, 0 if there is none, or a negative errno if it is no eventfd. */
static int take_doorbell(int fd)
{
    uint64_t count;
    ssize_t n = nowait_read(fd, &count, sizeof(count));

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return n == sizeof(count) ? 1 : -EIO;
}

/* Waits, takes the news, and takes the doorbell. 1, 0 when the time is up, or a negative errno. */
static int wait_until(IvshmemPort *port, int fd, int64_t deadline)
{
    struct pollfd fds[] = {
        {.fd = fd, .events = POLLIN},
        {.fd = news_fd(port), .events = POLLIN},
    };
    bool both = ++port->n_waits % NEWS_EVERY == 0;
    int r;

    for (;; both = true) {
        int left = deadline_left(deadline);
        bool patient = !both && (left < 0 || left > QUICK_MS);
        int n = poll(fds, both ? 2 : 1, patient ? QUICK_MS : left);

        if (n < 0 || (n == 0 && !patient))
            return n < 0 ? -errno : 0;
        if (both && fds[1].revents)
            take_news(port);
        r = n > 0 && fds[0].revents ? take_doorbell(fd) : 0;
        if (r != 0 || left == 0)
            return r;
    }
}

static int wait_unix(IvshmemPort *port, unsigned vector, int timeout_ms)
{
    int fd = vector_fd(port, vector);

    return fd < 0 ? fd : wait_until(port, fd, deadline_after(timeout_ms));
}

static int wait_for(IvshmemPort *port, unsigned vector, bool (*look)(void *opaque), void *opaque,
                    int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    int fd = vector_fd(port, vector);

    if (fd < 0)
        return fd;
    while (!look(opaque)) {
        int result = wait_until(port, fd, deadline);

        if (result < 0)
            return result;
        if (result == 0)
            return look(opaque);
    }
    return 1;
}

static int peers(const IvshmemPort *port, IvshmemPortPeer *out, size_t n_max)
{
    const IvshmemClientPeer *peer;
    size_t n = 0;

    IVSHMEM_CLIENT_FOREACH_PEER(peer, port->client) {
        if (n < n_max)
            out[n] = (IvshmemPortPeer){.id = (unsigned)peer->id, .n_vectors = peer->vectors_count};
        n++;
    }
    return (int)n;
}

const PortKind port_unix = {
    .scheme = SCHEME,
    .open = open_unix,
    .close = close_unix,
    .n_vectors = n_vectors,
    .wait = wait_unix,
    .wait_for = wait_for,
    .vector_fd = vector_fd,
    .news_fd = news_fd,
    .dispatch = dispatch,
    .peers = peers,
};
