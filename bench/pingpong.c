/* SPDX-License-Identifier: MIT */
/*
 * bench-pingpong COUNT doorbells|spin CPU CPU
 *
 * The floor of `ivshmem-client ping`: two processes that pass a number to and fro, by non-blocking
 * eventfds and poll(), or through shared memory at which both look all the time, and that is all
 * they do. The clock is read once a round trip. Each is bound to a processor, as what is held
 * against it is: on two of them, most of the time goes into waking the other. It prints the median
 * (us).
 */
#include "common.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Memory {
    _Alignas(64) _Atomic uint64_t ping;
    _Alignas(64) _Atomic uint64_t pong;
} Memory;

static void bind_to(int64_t cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        die("processor %d", (int)cpu);
}

static int make_eventfd(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    if (fd < 0)
        die("eventfd");
    return fd;
}

static void ring(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one))
        die("write");
}

static void wait_for_ring(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint64_t count;

    if (poll(&poll_fd, 1, -1) != 1 || read(fd, &count, sizeof(count)) != sizeof(count))
        die("poll");
}

static void wait_for_value(const _Atomic uint64_t *value, uint64_t wanted)
{
    while (atomic_load_explicit(value, memory_order_acquire) != wanted)
        ;
}

static void answer(Memory *memory, bool spin, int ping, int pong, uint64_t count)
{
    for (uint64_t i = 1; i <= count; i++) {
        if (spin) {
            wait_for_value(&memory->ping, i);
            atomic_store_explicit(&memory->pong, i, memory_order_release);
        } else {
            wait_for_ring(ping);
            ring(pong);
        }
    }
}

static void ask(Memory *memory, bool spin, int ping, int pong, uint64_t i)
{
    if (spin) {
        atomic_store_explicit(&memory->ping, i, memory_order_release);
        wait_for_value(&memory->pong, i);
    } else {
        ring(ping);
        wait_for_ring(pong);
    }
}

/* The other process is executed anew, as what is held against it: one that is only forked has all
 * its memory where the first one has it, and so half the cache misses. */
static pid_t start_other(char **argv, const int fds[3])
{
    char numbers[3][16];
    pid_t pid = start_child();

    if (pid > 0)
        return pid;
    for (int i = 0; i < 3; i++)
        (void)snprintf(numbers[i], sizeof(numbers[i]), "%d", fds[i]);
    (void)execl("/proc/self/exe", argv[0], argv[1], argv[2], argv[3], argv[4], numbers[0],
                numbers[1], numbers[2], (char *)NULL);
    die("exec");
}

static Memory *map(int fd)
{
    Memory *memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

static int be_other(char **argv)
{
    bind_to(argument(argv[4], 0, CPU_SETSIZE - 1));
    answer(map((int)argument(argv[7], 0, 1023)), strcmp(argv[2], "spin") == 0,
           (int)argument(argv[5], 0, 1023), (int)argument(argv[6], 0, 1023),
           (uint64_t)argument(argv[1], 1, 10000000));
    return EXIT_SUCCESS;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    int fds[3]; /* ping, pong, memory */
    uint64_t count;
    int64_t *times, began;
    Memory *memory;
    bool spin;
    pid_t other;

    if (argc == 8)
        return be_other(argv);
    if (argc != 5)
        die("usage: bench-pingpong COUNT doorbells|spin CPU CPU");
    count = (uint64_t)argument(argv[1], 1, 10000000);
    spin = strcmp(argv[2], "spin") == 0;
    times = calloc(count, sizeof(*times));
    fds[0] = make_eventfd();
    fds[1] = make_eventfd();
    fds[2] = memfd_create("bench", 0);
    if (!times || fds[2] < 0 || ftruncate(fds[2], sizeof(*memory)) < 0)
        die("no memory");
    memory = map(fds[2]);
    other = start_other(argv, fds);
    bind_to(argument(argv[3], 0, CPU_SETSIZE - 1));
    began = now_ns();
    for (uint64_t i = 1; i <= count; i++) {
        int64_t now;

        ask(memory, spin, fds[0], fds[1], i);
        now = now_ns();
        times[i - 1] = now - began;
        began = now;
    }
    stop_child(other);
    qsort(times, count, sizeof(*times), compare);
    (void)printf("{\"p50\": %.3f}\n", (double)times[(count - 1) / 2] / 1000);
    return EXIT_SUCCESS;
}
