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
#include <poll.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "util/deadline.h"

#define PAUSE_MIN_NS INT64_C(50000)
#define PAUSE_MAX_NS INT64_C(1000000)

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

/* Sleeps for a while, at most until the deadline, and lengthens the next pause. */
static int pause_until(int64_t deadline, int64_t *pause)
{
    int64_t left = deadline - deadline_now();
    struct timespec time = {.tv_nsec = left < *pause ? left : *pause};

    *pause = *pause * 2 < PAUSE_MAX_NS ? *pause * 2 : PAUSE_MAX_NS;
    return left <= 0 ? 0 : -clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

int ivshmem_device_wait_for(IvshmemDevice *device, unsigned vector, bool (*look)(void *opaque),
                            void *opaque, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    int64_t pause = PAUSE_MIN_NS;

    if (device->interrupts && vector >= device->n_vectors)
        return -EINVAL;
    for (;;) {
        int left;
        int result;

        if (look(opaque))
            return 1;
        left = deadline_left(deadline);
        if (left == 0)
            return 0;
        if (device->interrupts)
            result = ivshmem_device_wait(device, vector, left);
        else
            result = pause_until(deadline, &pause);
        if (result < 0)
            return result;
    }
}
