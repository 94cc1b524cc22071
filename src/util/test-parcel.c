/* SPDX-License-Identifier: MIT */
#include "util/cleanup.h"
#include "util/fdpass.h"
#include "util/limits.h"
#include "util/parcel.h"
#include "util/testing-pair.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#define MANY (3 * FDPASS_MAX_FDS)

static Parcel parcel;

static int tear_down(void **state)
{
    parcel_free(&parcel);
    return close_pair(state);
}

static void test_numbers_are_kept(void **state)
{
    Pair *pair = *state;
    int fds[] = {fcntl(pair->event_fd, F_DUPFD_CLOEXEC, 150), eventfd(0, EFD_CLOEXEC)};
    uint32_t left = 7;
    uint64_t count = 5;
    int here;

    assert_int_equal(parcel_send(pair->ends[0], fds, 2), 2);
    assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), 0);
    assert_int_equal(left, 0);
    assert_int_equal(parcel.n_fds, 2);
    here = parcel_at(&parcel, fds[0]);
    assert_int_equal(parcel_take(&parcel, fds[0]), here);
    assert_int_equal(parcel_take(&parcel, fds[0]), -1);
    assert_int_equal(parcel_take(&parcel, fds[0] + 1), -1);
    assert_int_equal(parcel_take(&parcel, INT32_MAX), -1);
    assert_int_equal(parcel_take(&parcel, -1), -1);
    assert_int_equal(parcel.n_fds, 1);
    assert_int_equal(write(pair->event_fd, &count, sizeof(count)), sizeof(count));
    count = 0;
    assert_int_equal(read(here, &count, sizeof(count)), sizeof(count));
    assert_int_equal(count, 5);
    fd_close(here);
    fd_close(fds[0]);
    fd_close(fds[1]);
}

static void test_nothing(void **state)
{
    Pair *pair = *state;
    uint32_t left = 7;

    assert_int_equal(parcel_send(pair->ends[0], &pair->event_fd, 0), 0);
    assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), 0);
    assert_int_equal(left, 0);
    assert_int_equal(parcel.n_fds, 0);
    assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), -EAGAIN);
}

static void open_many(const Pair *pair, int fds[static MANY])
{
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = fcntl(pair->event_fd, F_DUPFD_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
    }
}

static void close_many(const int fds[static MANY])
{
    for (unsigned i = 0; i < MANY; i++)
        fd_close(fds[i]);
}

static void receive_all(Pair *pair, uint32_t n)
{
    uint32_t left = 1;

    while (left > 0) {
        assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), 0);
        assert_int_equal(parcel.n_fds + left, n);
    }
}

/* What is sent in parts is a parcel in parts: each says how much of itself is to come. */
static void test_full_socket(void **state)
{
    Pair *pair = *state;
    const int least = 1;
    int fds[MANY], first;
    uint32_t left;

    open_many(pair, fds);
    assert_int_equal(setsockopt(pair->ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    first = parcel_send(pair->ends[0], fds, MANY);
    assert_in_range(first, FDPASS_MAX_FDS, MANY - 1);
    assert_int_equal(parcel_send(pair->ends[0], fds + first, MANY - (uint32_t)first), -EAGAIN);
    while (parcel.n_fds < (uint32_t)first)
        assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), 0);
    assert_int_equal(left, MANY - first);
    assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), -EAGAIN);
    assert_int_equal(parcel_send(pair->ends[0], fds + first, MANY - (uint32_t)first), MANY - first);
    receive_all(pair, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_true(parcel_at(&parcel, fds[i]) >= 0);
    close_many(fds);
}

/* The stated number of descriptors is in the lengths only: what does not fit is closed. */
static void refuse(Pair *pair, const int32_t *words, size_t n_words, size_t n_fds)
{
    const int fds[] = {pair->event_fd, pair->event_fd};
    int open_before = count_open_fds();
    uint32_t left;

    assert_true(fdpass_send(pair->ends[0], words, n_words * sizeof(*words), fds, n_fds) > 0);
    assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), -EBADMSG);
    parcel_free(&parcel);
    assert_int_equal(count_open_fds(), open_before);
}

static void test_wrong_messages(void **state)
{
    Pair *pair = *state;

    refuse(pair, (int32_t[]){0}, 1, 1);
    refuse(pair, (int32_t[]){0, 0}, 2, 1);
    refuse(pair, (int32_t[]){0, 0, 5}, 3, 2);
    refuse(pair, (int32_t[]){0, 0, 5, 6, 7}, 5, 2);
    refuse(pair, (int32_t[]){1, 0}, 2, 0);
    refuse(pair, (int32_t[]){0, 1, 5}, 3, 1);
    refuse(pair, (int32_t[]){0, 0, -1}, 3, 1);
    refuse(pair, (int32_t[]){0, 0, INT32_MAX}, 3, 1);
    refuse(pair, (int32_t[]){0, 0, 5, 5}, 4, 2);
}

/* One of three descriptors, all of which arrive with what is left of it. */
static void test_cut_short(void **state)
{
    Pair *pair = *state;
    const int32_t words[] = {0, 0, 5, 6, 7};
    const int fds[] = {pair->event_fd, pair->event_fd, pair->event_fd};
    uint32_t n_fds = 0;

    for (size_t length = 1; length < sizeof(words); length++) {
        for (unsigned peeks = 0; peeks < 2; peeks++) {
            int open_before = count_open_fds();
            uint32_t left;

            assert_int_equal(fdpass_send(pair->ends[0], words, length, fds, 3), length);
            assert_int_equal(peeks ? parcel_peek(&parcel, pair->ends[1], &n_fds) : -EBADMSG,
                             -EBADMSG);
            assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), -EBADMSG);
            assert_int_equal(parcel.n_fds, 0);
            assert_int_equal(count_open_fds(), open_before);
        }
    }
}

static void test_number_twice(void **state)
{
    Pair *pair = *state;
    uint32_t left;

    assert_int_equal(parcel_send(pair->ends[0], &pair->event_fd, 1), 1);
    assert_int_equal(parcel_send(pair->ends[0], &pair->event_fd, 1), 1);
    assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), 0);
    assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), -EBADMSG);
    assert_int_equal(parcel.n_fds, 1);
}

static void test_number_twice_for_another(void **state)
{
    Pair *pair = *state;
    int open_before = count_open_fds();
    uint32_t left;

    parcel.is_renewed = true;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(parcel_send(pair->ends[0], &pair->event_fd, 1), 1);
        assert_int_equal(parcel_receive(&parcel, pair->ends[1], &left), 0);
        assert_int_equal(count_open_fds(), open_before + 1);
    }
    assert_int_equal(parcel.n_fds, 1);
    assert_int_equal(parcel.n_came, 2);
}

/* The sender may be gone; the queue can be looked at again and again. */
static void test_peek_leaves_everything(void **state)
{
    Pair *pair = *state;
    int fds[MANY];

    open_many(pair, fds);
    assert_int_equal(parcel_send(pair->ends[0], fds, MANY), MANY);
    pair->ends[0] = fd_close(pair->ends[0]);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t n_fds = 0;

        assert_int_equal(parcel_peek(&parcel, pair->ends[1], &n_fds), 0);
        assert_int_equal(n_fds, MANY);
        assert_int_equal(parcel.n_fds, MANY);
        parcel_free(&parcel);
    }
    receive_all(pair, MANY);
    assert_int_equal(parcel_receive(&parcel, pair->ends[1], &(uint32_t){0}), -ECONNRESET);
    close_many(fds);
}

static void test_what_is_left_stays_open(void **state)
{
    Pair *pair = *state;
    int open_before = count_open_fds(), here;

    assert_int_equal(parcel_send(pair->ends[0], &pair->event_fd, 1), 1);
    receive_all(pair, 1);
    here = parcel_at(&parcel, pair->event_fd);
    parcel_leave(&parcel);
    assert_int_equal(parcel.n_fds, 0);
    assert_int_equal(count_open_fds(), open_before + 1);
    fd_close(here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_are_kept, open_pair, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing, open_pair, tear_down),
        cmocka_unit_test_setup_teardown(test_full_socket, open_pair, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_messages, open_pair, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_short, open_pair, tear_down),
        cmocka_unit_test_setup_teardown(test_number_twice, open_pair, tear_down),
        cmocka_unit_test_setup_teardown(test_number_twice_for_another, open_pair, tear_down),
        cmocka_unit_test_setup_teardown(test_peek_leaves_everything, open_pair, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_left_stays_open, open_pair, tear_down),
    };

    limits_raise_fds();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
