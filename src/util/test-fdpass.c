/* SPDX-License-Identifier: MIT */
#include "util/cleanup.h"
#include "util/fdpass.h"
#include "util/sys.h"
#include "util/testing-pair.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void test_one_message(void **state)
{
    Pair *pair = *state;
    char bytes[8] = {0};
    int fds[1];
    size_t n_fds;

    assert_int_equal(fdpass_send(pair->ends[0], "12345678", 8, &pair->event_fd, 1), 8);
    assert_int_equal(fdpass_recv(pair->ends[1], bytes, 8, fds, 1, &n_fds), 8);
    assert_memory_equal(bytes, "12345678", 8);
    assert_int_equal(n_fds, 1);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    fd_close(fds[0]);

    assert_int_equal(fdpass_recv(pair->ends[1], bytes, 8, fds, 1, &n_fds), -EAGAIN);
    assert_int_equal(n_fds, 0);
    pair->ends[0] = fd_close(pair->ends[0]);
    assert_int_equal(fdpass_recv(pair->ends[1], bytes, 8, fds, 1, &n_fds), 0);
    assert_int_equal(fdpass_send(pair->ends[1], "12345678", 8, NULL, 0), -EPIPE);
}

/* One more than there is room for (which alignment hides from MSG_CTRUNC), and many more. */
static void test_too_many_fds(void **state)
{
    Pair *pair = *state;
    int copies[5];
    int fds[2];
    size_t n_fds;

    for (size_t i = 0; i < 5; i++)
        copies[i] = pair->event_fd;
    for (size_t n = 2; n <= 5; n++) {
        char byte;

        assert_int_equal(fdpass_send(pair->ends[0], "x", 1, copies, n), 1);
        assert_int_equal(fdpass_recv(pair->ends[1], &byte, 1, fds, 1, &n_fds), -EBADMSG);
        assert_int_equal(n_fds, 0);
    }
}

static void test_most_fds(void **state)
{
    Pair *pair = *state;
    int copies[FDPASS_MAX_FDS], fds[FDPASS_MAX_FDS];
    size_t n_fds;
    char byte;

    for (size_t i = 0; i < FDPASS_MAX_FDS; i++)
        copies[i] = pair->event_fd;
    assert_int_equal(fdpass_send(pair->ends[0], "x", 1, copies, FDPASS_MAX_FDS), 1);
    assert_int_equal(fdpass_recv(pair->ends[1], &byte, 1, fds, FDPASS_MAX_FDS, &n_fds), 1);
    assert_int_equal(n_fds, FDPASS_MAX_FDS);
    for (size_t i = 0; i < n_fds; i++)
        fd_close(fds[i]);
}

/* A batch that is larger than what fits: its count is exact, and what was taken arrives in order.
 */
static void test_batch_until_full(void **state)
{
    Pair *pair = *state;
    _cleanup_free_ FdpassBatch *batch = malloc(sizeof(*batch));
    uint64_t next = 0, expected = 0;
    int sent;

    assert_non_null(batch);
    fdpass_batch_init(batch);
    for (;;) {
        uint64_t first = next;

        fdpass_batch_clear(batch);
        for (unsigned i = 0; i < FDPASS_BATCH_MAX; i++, next++)
            fdpass_batch_add(batch, (const uint8_t *)&next, next % 2 ? pair->event_fd : -1);
        sent = fdpass_batch_send(batch, pair->ends[0]);
        if (sent < 0)
            break;
        next = first + (uint64_t)sent;
        assert_true(next < 100000);
    }
    assert_int_equal(sent, -EAGAIN);
    next -= FDPASS_BATCH_MAX;
    assert_true(next > FDPASS_BATCH_MAX);

    for (; expected < next; expected++) {
        uint64_t value;
        size_t n_fds;
        int fds[1];

        assert_int_equal(fdpass_recv(pair->ends[1], &value, sizeof(value), fds, 1, &n_fds), 8);
        assert_int_equal(value, expected);
        assert_int_equal(n_fds, expected % 2);
        if (n_fds)
            fd_close(fds[0]);
    }
}

static int interruptions;

static int interrupted_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    if (interruptions-- > 0) {
        errno = EINTR;
        return -1;
    }
    return sendmmsg(fd, msgs, n, flags);
}

static void test_interrupted(void **state)
{
    Pair *pair = *state;
    _cleanup_free_ FdpassBatch *batch = malloc(sizeof(*batch));
    const SysCalls real = sys;

    assert_non_null(batch);
    fdpass_batch_init(batch);
    fdpass_batch_add(batch, (const uint8_t *)"12345678", -1);
    interruptions = 3;
    sys.sendmmsg = interrupted_sendmmsg;
    assert_int_equal(fdpass_batch_send(batch, pair->ends[0]), 1);
    sys = real;
    assert_true(interruptions < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_message, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_too_many_fds, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_most_fds, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_batch_until_full, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_interrupted, open_pair, close_pair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
