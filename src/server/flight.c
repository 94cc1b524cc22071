/* SPDX-License-Identifier: MIT */
#include "server/flight.h"

#include "util/cleanup.h"
#include "util/fdpass.h"

#include <linux/capability.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define MIN_WINDOW 2 /* parking needs two unread messages to hold */

/* Whether this process is exempt from the limit. A capability within a user namespace does not
 * count for the kernel, which we do not look for: the first ETOOMANYREFS then tells. */
static bool is_exempt(void) /* seccomp: capget */
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective & CAP_TO_MASK(CAP_SYS_RESOURCE) ||
           data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

/* seccomp: ioctl(1=SIOCOUTQ) */
static uint32_t outgoing(int sock)
{
    int n = 0;

    return ioctl(sock, SIOCOUTQ, &n) < 0 || n < 0 ? 0 : (uint32_t)n;
}

/* seccomp: socketpair sendmsg */
int flight_init(Flight *flight)
{
    struct rlimit limit;
    int pair[2], sndbuf = 0;
    socklen_t length = sizeof(sndbuf);
    uint8_t bytes[FDPASS_MESSAGE_SIZE] = {0};
    ssize_t sent;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    sent = fdpass_send(pair[0], bytes, sizeof(bytes), NULL, 0);
    *flight = (Flight){
        .allowance = limit.rlim_cur > UINT32_MAX ? UINT32_MAX : (uint32_t)limit.rlim_cur,
        .message_cost = sent < 0 ? 0 : outgoing(pair[0]),
    };
    (void)getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, &length);
    flight->default_sndbuf = sndbuf / 2; /* the kernel doubles what it is given */
    fd_close(pair[0]);
    fd_close(pair[1]);
    if (flight->message_cost == 0)
        flight->message_cost = 1;
    return sent < 0 ? (int)sent : 0;
}

uint32_t flight_queued(const Flight *flight, int sock)
{
    return (outgoing(sock) + flight->message_cost - 1) / flight->message_cost;
}

uint32_t flight_messages(const Flight *flight, const Client *client)
{
    return flight_queued(flight, client->sock_fd);
}

/* Sees how many of the descriptors that were sent to the client can still be unread. */
static void refresh(Flight *flight, Client *client)
{
    uint32_t messages = flight_messages(flight, client);

    if (messages < client->unread) {
        flight->unread -= client->unread - messages;
        client->unread = messages;
    }
}

uint32_t flight_unread(Flight *flight, Client *client)
{
    refresh(flight, client);
    return client->unread;
}

/* How many descriptors the client may have unread, as things stand. */
static uint32_t fair_share(const Flight *flight, const State *state)
{
    uint32_t most = flight->allowance / 4 * 3;
    uint32_t n_clients = state->header->n_clients, left, share;

    if (flight->unread < flight->allowance / 2)
        return FDPASS_BATCH_MAX;
    left = flight->unread < most ? most - (uint32_t)flight->unread : 0;
    share = n_clients > 0 ? left / n_clients : left;
    return share < MIN_WINDOW ? MIN_WINDOW : share > FDPASS_BATCH_MAX ? FDPASS_BATCH_MAX : share;
}

uint32_t flight_window(Flight *flight, const State *state, Client *client)
{
    uint32_t share, enough, before = client->unread;

    if (!flight->asked) {
        flight->limited = !is_exempt();
        flight->asked = true;
    }
    if (!flight->limited || flight->unread < flight->allowance / 4)
        return FDPASS_BATCH_MAX;
    share = fair_share(flight, state);
    enough = share == FDPASS_BATCH_MAX ? share / 2 : share - 1;
    if (before > enough) { /* worth asking */
        refresh(flight, client);
        share = fair_share(flight, state);
    }
    if (share < before) /* it may have again what it had: that adds nothing to the sum */
        share = before < FDPASS_BATCH_MAX ? before : FDPASS_BATCH_MAX;
    return client->unread < share ? share - client->unread : 0;
}

bool flight_is_drained(const Client *client)
{
    return outgoing(client->sock_fd) == 0;
}

/* seccomp: setsockopt */
static void set_sndbuf(int sock, int size)
{
    (void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

void flight_park(const Flight *flight, const Client *client)
{
    (void)flight;
    set_sndbuf(client->sock_fd, 0);
}

void flight_unpark(const Flight *flight, const Client *client)
{
    set_sndbuf(client->sock_fd, flight->default_sndbuf);
}
