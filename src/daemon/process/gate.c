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
} Gate;

static Gate *gate;

int gate_make(void)
{
    void *page =
        mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -errno;
    gate = page;
    return 0;
}

void gate_open(uint32_t number, KeeperTask task)
{
    atomic_store(&gate->word, number << 1 | (task == KEEPER_END));
    (void)syscall(SYS_futex, &gate->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

KeeperTask gate_wait(uint32_t number)
{
    uint32_t now;

    atomic_store(&gate->reached, number);
    while ((now = atomic_load(&gate->word)) >> 1 < number)
        (void)syscall(SYS_futex, &gate->word, FUTEX_WAIT, now, NULL, NULL, 0);
    return now & 1 ? KEEPER_END : KEEPER_SERVE;
}

bool gate_is_reached(uint32_t number)
{
    return atomic_load(&gate->reached) >= number;
}

void gate_pass(uint32_t number)
{
    atomic_store(&gate->passed, number);
}

bool gate_is_passed(uint32_t number)
{
    return atomic_load(&gate->passed) >= number;
}
