/* SPDX-License-Identifier: MIT */
#include "daemon/process/gate.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct Gate {
    _Atomic uint32_t word;    /* twice the latest number that was let in, and its task */
    _Atomic uint32_t reached; /* the latest number that has come to it */
    _Atomic uint32_t passed;  /* the latest number that has come through */
    _Atomic uint32_t marks;   /* GateMark */
    _Atomic uint32_t heard;   /* calls, by whoever came to it last */
    _Atomic uint32_t calls;   /* how often whoever waits was to look ahead again */
    _Atomic uint32_t bell;    /* another number with each of both: what is slept on */
} Gate;

static Gate *gate;
static uint32_t own_number;
static uint32_t n_heard; /* calls that this process has heard */

int gate_make(void)
{
    void *page =
        mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -errno;
    gate = page;
    return 0;
}

static void ring(void)
{
    atomic_fetch_add(&gate->bell, 1);
    (void)syscall(SYS_futex, &gate->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void gate_open(uint32_t number, KeeperTask task)
{
    atomic_store(&gate->word, number << 1 | (task == KEEPER_END));
    ring();
}

void gate_call(void)
{
    if (!gate)
        return;
    atomic_fetch_add(&gate->calls, 1);
    ring();
}

void gate_listen(uint32_t number)
{
    own_number = number;
    n_heard = atomic_load(&gate->calls);
}

bool gate_is_open(void)
{
    return atomic_load(&gate->word) >> 1 >= own_number;
}

bool gate_wait(uint32_t number, KeeperTask *task)
{
    atomic_store(&gate->heard, n_heard);
    atomic_store(&gate->reached, number);
    for (;;) {
        uint32_t bell = atomic_load(&gate->bell), now = atomic_load(&gate->word);

        *task = now & 1 ? KEEPER_END : KEEPER_SERVE;
        if (now >> 1 >= number)
            return true;
        if (atomic_load(&gate->calls) != n_heard)
            return false;
        (void)syscall(SYS_futex, &gate->bell, FUTEX_WAIT, bell, NULL, NULL, 0);
    }
}

bool gate_is_reached(uint32_t number)
{
    return atomic_load(&gate->reached) >= number &&
           atomic_load(&gate->heard) == atomic_load(&gate->calls);
}

void gate_pass(uint32_t number)
{
    atomic_store(&gate->passed, number);
}

bool gate_is_passed(uint32_t number)
{
    return atomic_load(&gate->passed) >= number;
}

void gate_mark(GateMark mark)
{
    if (gate)
        atomic_fetch_or(&gate->marks, (uint32_t)mark);
}

bool gate_has(GateMark mark)
{
    return gate && atomic_load(&gate->marks) & (uint32_t)mark;
}
