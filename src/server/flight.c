/* SPDX-License-Identifier: MIT */
#include "server/flight.h"

#include "util/capability.h"
#include "util/cleanup.h"
#include "util/fdpass.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#define MIN_WINDOW 2  /* parking needs two unread messages to hold */
#define LOOK_PRICE 32 /* descriptors sent or found to be read, for each look at another client */

/* Whether this process is exempt from the limit. A capability within a user namespace does not
 * count for the kernel, which we do not look for: the first ETOOMANYREFS then tells. */
static bool is_exempt(void)
{
    return capability_is_effective(CAP_SYS_RESOURCE) || capability_is_effective(CAP_SYS_ADMIN);
}

/* seccomp: ioctl(1=SIOCOUTQ) */
static uint32_t outgoing(int sock)
{
    int n = 0;

    return ioctl(sock, SIOCOUTQ, &n) < 0 || n < 0 ? 0 : (uint32_t)n;
}

/* seccomp: socketpair sendmsg */
int flight_init(Flight *flight, const State *state)
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
        .own.allowance = limit.rlim_cur > UINT32_MAX ? UINT32_MAX : (uint32_t)limit.rlim_cur,
        .own.users = flight,
        .budget = &flight->own,
        .state = state,
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

void flight_count(Flight *flight, int64_t n_fds)
{
    flight->unread += (uint64_t)n_fds;
    flight->budget->unread += (uint64_t)n_fds;
}

void flight_join(Flight *flight, Client *client)
{
    client->unread = 0;
    flight->n_clients++;
    flight->budget->n_clients++;
}

void flight_sent(Flight *flight, Client *client, uint32_t n_fds)
{
    FlightBudget *budget = flight->budget;

    client->unread += n_fds;
    flight_count(flight, n_fds);
    if (budget->earned < budget->allowance / 2)
        budget->earned += n_fds;
}

void flight_forget(Flight *flight, Client *client)
{
    flight_count(flight, -(int64_t)client->unread);
    client->unread = 0;
    flight->n_clients--;
    flight->budget->n_clients--;
}

void flight_leave(Flight *flight)
{
    FlightBudget *budget = flight->budget;
    Flight **at;

    if (!budget)
        return;
    for (at = &budget->users; *at != flight; at = &(*at)->next)
        ;
    *at = flight->next;
    if (budget->at == flight) {
        budget->at = flight->next;
        budget->slot = 0;
    }
    budget->unread -= flight->unread;
    budget->n_clients -= flight->n_clients;
    flight->budget = NULL;
}

void flight_share(Flight *flight, FlightBudget *budget)
{
    flight_leave(flight);
    if (!budget->users) /* what there is room for may be another now */
        *budget = (FlightBudget){.allowance = flight->own.allowance};
    flight->budget = budget;
    flight->next = budget->users;
    budget->users = flight;
    budget->unread += flight->unread;
    budget->n_clients += flight->n_clients;
}

/* Sees how many of the descriptors that were sent to the client can still be unread. Gives how many
 * messages are. */
static uint32_t refresh(Flight *flight, Client *client)
{
    uint32_t messages = flight_messages(flight, client);

    if (messages < client->unread) {
        flight_count(flight, (int64_t)messages - client->unread);
        client->unread = messages;
    }
    return messages;
}

uint32_t flight_unread(Flight *flight, Client *client)
{
    (void)refresh(flight, client);
    return client->unread;
}

/* Looks at the next client, or goes on to the next server. */
static void look_on(FlightBudget *budget)
{
    Flight *flight = budget->at ? budget->at : budget->users;
    const State *state = flight->state;
    uint32_t slot = bitmap_next(state->connected, state->max_clients, budget->slot);
    bool is_end = slot == state->max_clients;

    if (!is_end && state->clients[slot].unread > 0)
        (void)refresh(flight, &state->clients[slot]);
    budget->at = is_end ? flight->next : flight;
    budget->slot = is_end ? 0 : slot + 1;
}

/* Sees how much others have read in the meantime, until there is room. */
static void look_around(FlightBudget *budget)
{
    while (budget->unread >= budget->allowance / 2 && budget->earned >= LOOK_PRICE) {
        uint64_t before = budget->unread;

        look_on(budget);
        budget->earned -= LOOK_PRICE;
        budget->earned += (uint32_t)(before - budget->unread);
    }
}

/* How many descriptors any client may have unread, as things stand. */
static uint32_t fair_share(const FlightBudget *budget)
{
    uint32_t most = budget->allowance / 4 * 3, left, share;

    if (budget->unread < budget->allowance / 2)
        return FDPASS_BATCH_MAX;
    left = budget->unread < most ? most - (uint32_t)budget->unread : 0;
    share = budget->n_clients > 0 ? left / budget->n_clients : left;
    return share < MIN_WINDOW ? MIN_WINDOW : share > FDPASS_BATCH_MAX ? FDPASS_BATCH_MAX : share;
}

static uint32_t window_in(const Client *client, uint32_t share)
{
    return client->unread < share ? share - client->unread : 0;
}

static bool is_limited(FlightBudget *budget)
{
    if (!budget->asked) {
        budget->limited = !is_exempt();
        budget->asked = true;
    }
    return budget->limited;
}

uint32_t flight_window(Flight *flight, Client *client)
{
    FlightBudget *budget = flight->budget;
    uint32_t share, enough, before = client->unread;

    if (!is_limited(budget) || budget->unread < budget->allowance / 4)
        return FDPASS_BATCH_MAX;
    share = fair_share(budget);
    enough = share == FDPASS_BATCH_MAX ? share / 2 : share - 1;
    if (before > enough) { /* worth asking */
        (void)refresh(flight, client);
        share = fair_share(budget);
    }
    if (share < before) /* it may have again what it had: that adds nothing to the sum */
        share = before < FDPASS_BATCH_MAX ? before : FDPASS_BATCH_MAX;
    return window_in(client, share);
}

uint32_t flight_widen(Flight *flight, Client *client, uint32_t window)
{
    FlightBudget *budget = flight->budget;
    uint32_t share, wider;
    bool reads;

    if (window >= FDPASS_BATCH_MAX)
        return window;
    look_around(budget);
    /* Whoever has never read anything has three messages at least. */
    reads = client->unread == 0 || refresh(flight, client) <= 1;
    share = fair_share(budget);
    if (reads && budget->unread < budget->allowance / 8 * UINT64_C(5))
        share = FDPASS_BATCH_MAX;
    wider = window_in(client, share);
    return wider > window ? wider : window;
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
