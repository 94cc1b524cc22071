/* SPDX-License-Identifier: MIT */
/* What servers that share a budget of descriptors on their way have in common: see flight.h. It
 * begins as all zero. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** What a process may have on its way: of one server, or of several that one thread serves. */
typedef struct FlightBudget {
    bool asked;         /* whether we are limited: at the first use, when a host program has
                           dropped what it drops */
    bool limited;       /* there is such a limit for us */
    uint32_t allowance; /* L */
    uint64_t unread;    /* sum over the clients */
    uint32_t n_clients;
    struct Flight *users; /* the servers */
    struct Flight *at;    /* whose clients are looked at next; NULL: the first one's */
    uint32_t slot;        /* and from where on */
    uint32_t earned;      /* by descriptors that were sent, for looks at clients */
} FlightBudget;
