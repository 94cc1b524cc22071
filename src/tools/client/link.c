/* SPDX-License-Identifier: MIT */
#include "tools/client/link.h"

#include "util/deadline.h"
#include "util/nowait.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define SPINS        65536 /* between two looks at the clock */
#define OTHERS_EVERY 64    /* waits */
#define TICK_MS      100
#define PAUSE_MIN_NS INT64_C(50000)
#define PAUSE_MAX_NS INT64_C(1000000)

/* What there is to wait on. */
enum { SIGNALS, NEWS, VECTOR };

int link_init(Link *link, IvshmemPort *port, const ToolOptions *options, int signals)
{
    size_t size = ivshmem_port_memory_size(port);

    *link = (Link){
        .port = port, .offset = options->offset, .vector = options->vector, .signals = signals};
    if (ivshmem_port_id(port) < 0)
        return tool_error("%s is an ivshmem-plain device, which has no peers",
                          ivshmem_port_name(port));
    if (link->vector >= ivshmem_port_n_vectors(port))
        return tool_error("there is no vector %u: we have %u", link->vector,
                          ivshmem_port_n_vectors(port));
    if (link->offset % LINK_ALIGN != 0)
        return tool_error("offset %" PRIu64 ": not a multiple of %d", link->offset, LINK_ALIGN);
    if (link->offset > size || size - link->offset < LINK_BLOCK_SIZE)
        return tool_error("offset %" PRIu64 ": no room for %d bytes in the memory, which has %zu",
                          link->offset, LINK_BLOCK_SIZE, size);
    link->block = (void *)((char *)ivshmem_port_memory(port) + link->offset);
    return STATUS_OK;
}

static void take_tick(int number)
{
    (void)number; /* it has ended a poll, which SA_RESTART never takes up again */
}

void link_start(void)
{
    const struct sigaction action = {.sa_handler = take_tick, .sa_flags = SA_RESTART};
    const struct timeval tick = {.tv_usec = TICK_MS * 1000L};
    const struct itimerval ticks = {.it_interval = tick, .it_value = tick};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGALRM);
    (void)sigaction(SIGALRM, &action, NULL);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)setitimer(ITIMER_REAL, &ticks, NULL);
}

void link_stop(void)
{
    const struct itimerval never = {0};

    (void)setitimer(ITIMER_REAL, &never, NULL);
}

int link_check_empty(const Link *link, const ToolOptions *options)
{
    const uint64_t *memory = ivshmem_port_memory(link->port);
    bool told = options->given & TAKES_OFFSET;
    size_t from = told ? link->offset : 0;
    size_t end = told ? from + LINK_BLOCK_SIZE : ivshmem_port_memory_size(link->port);

    if (options->force)
        return STATUS_OK;
    if (atomic_load(&link->block->magic) == LINK_MAGIC)
        return tool_error("offset %" PRIu64 ": another ping runs there, or was killed; --force "
                          "takes its place, and --offset another one",
                          link->offset);
    for (size_t at = from; at < end; at += sizeof(*memory))
        if (memory[at / sizeof(*memory)] != 0)
            return tool_error("the memory is not empty: there is something at %zu; say with "
                              "--offset which %d bytes may be used, or --force",
                              at, LINK_BLOCK_SIZE);
    return STATUS_OK;
}

static int spin(const Link *link, const _Atomic uint64_t *counter, uint64_t was, int timeout_ms)
{
    struct pollfd signals = {.fd = link->signals, .events = POLLIN};
    int64_t deadline = 0; /* most of the time it is not needed, and the clock costs */

    for (;;) {
        for (int i = 0; i < SPINS; i++)
            if (atomic_load_explicit(counter, memory_order_acquire) != was)
                return 1;
        if (poll(&signals, 1, 0) > 0)
            return -EINTR;
        if (!deadline)
            deadline = deadline_after(timeout_ms);
        if (deadline_left(deadline) == 0)
            return 0;
    }
}

/* Looks, after pauses that grow. */
static int look(const Link *link, const _Atomic uint64_t *counter, uint64_t was, int64_t deadline)
{
    struct pollfd signals = {.fd = link->signals, .events = POLLIN};
    struct timespec pause = {.tv_nsec = PAUSE_MIN_NS};

    while (atomic_load_explicit(counter, memory_order_acquire) == was) {
        if (deadline_left(deadline) == 0)
            return 0;
        if (ppoll(&signals, 1, &pause, NULL) > 0)
            return -EINTR;
        if (pause.tv_nsec < PAUSE_MAX_NS)
            pause.tv_nsec *= 2;
    }
    return 1;
}

/* Signals and news of peers, within so many milliseconds. -EINTR if it is to end. */
static int take_others(Link *link, struct pollfd *fds, size_t n_fds, int timeout_ms)
{
    int n = poll(fds, n_fds, timeout_ms);

    if (n > 0 && fds[NEWS].revents)
        (void)ivshmem_port_dispatch(link->port);
    if (n > 0 && fds[SIGNALS].revents)
        return -EINTR;
    return n;
}

/* Takes a doorbell that has come, if one has. Whether the counter is no longer what it was. */
static bool take_doorbell(const struct pollfd *vector, const _Atomic uint64_t *counter,
                          uint64_t was)
{
    uint64_t count;

    if (vector->revents)
        (void)!nowait_read(vector->fd, &count, sizeof(count));
    return atomic_load_explicit(counter, memory_order_acquire) != was;
}

static int sleep_long(Link *link, struct pollfd *fds, const _Atomic uint64_t *counter, uint64_t was,
                      int64_t deadline)
{
    int n;

    do {
        n = take_others(link, fds, VECTOR + 1, deadline_left(deadline));
        if (n == -EINTR)
            return n;
        if (n > 0 && take_doorbell(&fds[VECTOR], counter, was))
            return 1;
    } while (n != 0);
    return 0;
}

/*
 * One poll of one descriptor and one read for a doorbell, as in a program that does nothing else:
 * each descriptor more costs as much as a fifth of a round trip, and a timeout, for which the
 * kernel sets a timer, a tenth. So a tick ends a poll that finds nothing, and the other descriptors
 * are polled then, without ticks, and every now and then. The clock is not asked unless something
 * else has woken us, as in a virtual machine that can cost more than both.
 *
 * Whoever finds the counter changed takes the doorbell too: it would end the next wait early.
 */
static int sleep_until_rung(Link *link, const _Atomic uint64_t *counter, uint64_t was,
                            int timeout_ms)
{
    struct pollfd fds[] = {
        [SIGNALS] = {.fd = link->signals, .events = POLLIN},
        [NEWS] = {.fd = ivshmem_port_news_fd(link->port), .events = POLLIN},
        [VECTOR] = {.fd = ivshmem_port_vector_fd(link->port, link->vector), .events = POLLIN},
    };
    bool patient = timeout_ms < 0 || timeout_ms >= TICK_MS;
    int result;

    if (++link->n_waits % OTHERS_EVERY == 0 && take_others(link, fds, VECTOR, 0) == -EINTR)
        return -EINTR;
    fds[VECTOR].revents = POLLIN; /* should the answer be there already, its doorbell is too */
    if (atomic_load_explicit(counter, memory_order_acquire) != was)
        return take_doorbell(&fds[VECTOR], counter, was);
    result = poll(&fds[VECTOR], 1, patient ? -1 : timeout_ms);
    if (result > 0 && take_doorbell(&fds[VECTOR], counter, was))
        return 1;
    if (result == 0)
        return take_others(link, fds, VECTOR, 0) == -EINTR ? -EINTR : 0;
    link_stop();
    result = sleep_long(link, fds, counter, was, deadline_after(timeout_ms));
    link_start();
    return result;
}

int link_await(Link *link, const _Atomic uint64_t *counter, uint64_t was, bool spins,
               int timeout_ms)
{
    if (spins)
        return spin(link, counter, was, timeout_ms);
    if (!ivshmem_port_has_interrupts(link->port))
        return look(link, counter, was, deadline_after(timeout_ms));
    return sleep_until_rung(link, counter, was, timeout_ms);
}
