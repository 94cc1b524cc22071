/* SPDX-License-Identifier: MIT */
/* A state in a file: found again as it was, and refused wherever the file is cut short. */
#include "server/state.h"
#include "util/cleanup.h"
#include "util/testing.h"

#include <sys/mman.h>

#define CLIENTS 40
#define VECTORS 3

static int make_file(size_t *size)
{
    int fd = memfd_create("state", MFD_CLOEXEC);
    State state;

    assert_true(fd >= 0);
    assert_int_equal(state_new(&state, fd, CLIENTS, VECTORS), 0);
    assert_int_equal(state_take_slot(&state), 0);
    state.holders[17] = 5;
    *size = state.size;
    state_free(&state);
    return fd;
}

static void test_found_again(void **unused)
{
    size_t size;
    _cleanup_close_ int fd = make_file(&size);
    ErrorText error;
    State state;

    (void)unused;
    assert_int_equal(state_open(&state, fd, &error), 0);
    assert_int_equal(state.header->max_clients, CLIENTS);
    assert_int_equal(state.header->max_vectors, VECTORS);
    assert_int_equal(state.holders[17], 5);
    assert_int_equal(state_take_slot(&state), 1);
    state.header->max_clients = state.header->max_vectors = UINT32_MAX; /* by another process */
    assert_int_equal(state.max_clients, CLIENTS);
    assert_int_equal(state.max_vectors, VECTORS);
    state_free(&state);
}

static void test_cut_short(void **unused)
{
    size_t size, lengths[4096 + 5], n = 0;
    _cleanup_close_ int fd = make_file(&size);

    (void)unused;
    lengths[n++] = size + 1; /* the longest first: what is cut off is lost */
    lengths[n++] = size - 1;
    lengths[n++] = size / 2;
    for (size_t length = 4096; length > 0; length--)
        lengths[n++] = length;
    lengths[n++] = 0;
    for (size_t i = 0; i < n; i++) {
        ErrorText error;
        State state;

        assert_int_equal(ftruncate(fd, (off_t)lengths[i]), 0);
        assert_true(state_open(&state, fd, &error) < 0);
        assert_null(state.base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_cut_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
