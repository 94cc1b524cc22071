/* SPDX-License-Identifier: MIT */
/* The queue of those who wait for reading: its order, and who is the marker. */
#include "server/pace.h"
#include "util/testing.h"

#define N_SLOTS 100u

static Pace pace;

static int set_up(void **data)
{
    (void)data;
    return pace_new(&pace, N_SLOTS);
}

static int tear_down(void **data)
{
    (void)data;
    pace_free(&pace);
    return 0;
}

static void add(uint32_t first, uint32_t last)
{
    for (uint32_t slot = first; slot <= last; slot++)
        pace_add(&pace, slot);
}

static void assert_next(uint32_t slot)
{
    assert_int_equal(pace_first(&pace), slot);
    assert_true(bitmap_test(pace.waiting, slot));
    pace_remove(&pace, slot);
    assert_false(bitmap_test(pace.waiting, slot));
}

static void test_first_come_first_served(void **data)
{
    (void)data;
    add(7, 9);
    add(0, 1);
    pace_add(&pace, N_SLOTS - 1);
    assert_int_equal(pace.n_waiting, 6);
    assert_next(7);
    add(7, 7);
    for (uint32_t slot = 8; slot < 10; slot++)
        assert_next(slot);
    assert_next(0);
    assert_next(1);
    assert_next(N_SLOTS - 1);
    assert_next(7);
    assert_int_equal(pace.n_waiting, 0);
}

static void test_anybody_can_leave(void **data)
{
    (void)data;
    add(10, 15);
    pace_remove(&pace, 12);
    pace_remove(&pace, 12);
    pace_remove(&pace, 50);
    pace_remove(&pace, 10);
    pace_remove(&pace, 15);
    assert_int_equal(pace.n_waiting, 3);
    assert_next(11);
    assert_next(13);
    assert_next(14);
    assert_int_equal(pace.n_waiting, 0);
}

/* Of few the one in the middle, so that the others have something to read meanwhile. */
static void test_marker(void **data)
{
    (void)data;
    add(20, 20);
    assert_int_equal(pace_choose(&pace), 20);
    assert_int_equal(pace.n_ahead, 0);
    add(21, 29);
    assert_int_equal(pace_choose(&pace), 25);
    assert_int_equal(pace.n_ahead, 5);
    add(30, 79);
    assert_int_equal(pace_choose(&pace), 20 + PACE_AHEAD);
    assert_int_equal(pace.n_ahead, PACE_AHEAD);
}

static void test_marker_that_leaves_is_none(void **data)
{
    (void)data;
    add(1, 3);
    pace_remove(&pace, 2);
    pace_mark(&pace, 2, 0);
    pace_remove(&pace, 1);
    assert_int_equal(pace.marker, 2);
    pace_remove(&pace, 2);
    assert_int_equal(pace.marker, PACE_NO_MARKER);
}

/* That it was in the queue is known until it is sent something. */
static void test_who_has_waited(void **data)
{
    (void)data;
    add(5, 5);
    pace_remove(&pace, 5);
    assert_true(bitmap_test(pace.waited, 5));
    pace_forget(&pace, 5);
    assert_false(bitmap_test(pace.waited, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_come_first_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_anybody_can_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_marker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_marker_that_leaves_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_has_waited, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
