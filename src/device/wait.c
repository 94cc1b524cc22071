/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a doorbell: an eventfd where there are interrupts, a timed look at the memory where
 * there are none.
 *
 * wait_for takes the doorbell before it looks and never after: what is rung between a look and the
 * next wait leaves the eventfd readable, so nothing is slept through.
 */
#include "device/device.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS    INT64_C(1000000)
#define NS_PER_S     INT64_C(1000000000)
#define PAUSE_MIN_NS (50 * INT64_C(1000))
#define PAUSE_MAX_NS NS_PER_MS

static int64_t now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

/* @return 1 if a doorbell was taken, 0 if there is none, or a negative errno */
static int take(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) == sizeof(count))
        return 1;
    return errno == EAGAIN ? 0 : -errno;
}

int ivshmem_device_vector_fd(const IvshmemDevice *device, unsigned vector)
{
    if (vector >= device->n_vectors)
        return -EINVAL;
    return device->interrupts ? device->vectors[vector] : -EOPNOTSUPP;
}

int ivshmem_device_wait(IvshmemDevice *device, unsigned vector, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = ivshmem_device_vector_fd(device, vector), .events = POLLIN};
    int result;

    if (poll_fd.fd < 0)
        return poll_fd.fd;
    result = take(poll_fd.fd);
    if (result != 0 || timeout_ms == 0)
        return result;
    result = poll(&poll_fd, 1, timeout_ms);
    if (result <= 0)
        return result < 0 ? -errno : 0;
    return take(poll_fd.fd);
}

/* What is left until the end, rounded up, for poll(2): -1 is for ever. */
static int left_ms(int64_t end)
{
    int64_t left;

    if (end < 0)
        return -1;
    left = (end - now() + NS_PER_MS - 1) / NS_PER_MS;
    if (left <= 0)
        return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}

/* Sleeps for a while, and lengthens the next one. @return 0 or -EINTR */
static int pause_for(int64_t *pause, int64_t end)
{
    int64_t left = end < 0 ? *pause : end - now();
    int64_t length = left < *pause ? left : *pause;
    struct timespec time = {.tv_nsec = length > 0 ? length : 0};

    *pause = *pause * 2 < PAUSE_MAX_NS ? *pause * 2 : PAUSE_MAX_NS;
    return -clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

int ivshmem_device_wait_for(IvshmemDevice *device, unsigned vector, bool (*look)(void *opaque),
                            void *opaque, int timeout_ms)
{
    int64_t end = timeout_ms < 0 ? -1 : now() + timeout_ms * NS_PER_MS;
    int64_t pause = PAUSE_MIN_NS;

    if (device->interrupts && vector >= device->n_vectors)
        return -EINVAL;
    for (;;) {
        int left;
        int result;

        if (look(opaque))
            return 1;
        left = left_ms(end);
        if (left == 0)
            return 0;
        if (device->interrupts)
            result = ivshmem_device_wait(device, vector, left);
        else
            result = pause_for(&pause, end);
        if (result < 0)
            return result;
    }
}
