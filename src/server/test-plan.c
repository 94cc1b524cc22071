/* SPDX-License-Identifier: MIT */
/* What a client is to be sent, step by step; random operations are tests/model's. */
#include "server/plan.h"
#include "server/view.h"
#include "server/world.h"
#include "util/testing.h"

#define MAX_CLIENTS 8
#define N_VECTORS   2

typedef struct Fixture {
    State state;
    Ids ids;
} Fixture;

static int setup(void **out)
{
    static Fixture fixture;

    assert_int_equal(state_new(&fixture.state, -1, MAX_CLIENTS, N_VECTORS), 0);
    assert_int_equal(ids_new(&fixture.ids, WIRE_N_IDS, &fixture.state.header->id_floor), 0);
    *out = &fixture;
    return 0;
}

static int teardown(void **in)
{
    Fixture *fixture = *in;

    state_free(&fixture->state);
    ids_free(&fixture->ids);
    return 0;
}

static uint32_t join(Fixture *fixture)
{
    State *state = &fixture->state;
    uint32_t slot = state_take_slot(state);
    int32_t id = view_lowest_unknown(&fixture->state, &fixture->ids);

    assert_int_not_equal(slot, STATE_NO_SLOT);
    state->clients[slot].id = id;
    state->clients[slot].n_vectors = N_VECTORS;
    state->clients[slot].seen = state->header->n_changes;
    world_join(state, slot, (uint32_t)id);
    ids_learn(&fixture->ids, (uint32_t)id);
    view_spend_own(state, &fixture->ids, slot, (uint32_t)id);
    return slot;
}

static void leave(Fixture *fixture, uint32_t slot)
{
    world_leave(&fixture->state, (uint32_t)fixture->state.clients[slot].id);
    ids_forget(&fixture->ids, (uint32_t)fixture->state.clients[slot].id);
    view_clear(&fixture->state, &fixture->ids, slot);
    state_drop_slot(&fixture->state, slot);
}

static void expect(Fixture *fixture, uint32_t slot, StepKind kind, uint32_t id, uint32_t n)
{
    Step step;

    assert_true(plan_find(&fixture->state, slot, &step));
    plan_enter(&fixture->state, &fixture->ids, slot, &step);
    assert_int_equal(step.kind, kind);
    assert_int_equal(step.n, n);
    if (kind == STEP_VECTOR || kind == STEP_DEPARTURE)
        assert_int_equal(step.id, id);
}

static void expect_vectors(Fixture *fixture, uint32_t slot, uint32_t id)
{
    for (uint32_t n = 0; n < N_VECTORS; n++)
        expect(fixture, slot, STEP_VECTOR, id, n);
}

static void expect_hello(Fixture *fixture, uint32_t slot)
{
    for (uint32_t n = 0; n < CLIENT_HELLOS; n++)
        expect(fixture, slot, STEP_HELLO, 0, n);
}

static void expect_own(Fixture *fixture, uint32_t slot)
{
    for (uint32_t n = 0; n < N_VECTORS; n++)
        expect(fixture, slot, STEP_OWN, 0, n);
}

static void expect_nothing(Fixture *fixture, uint32_t slot)
{
    Step step;

    assert_false(plan_find(&fixture->state, slot, &step));
    assert_false(plan_has_news(&fixture->state, slot));
}

static void expect_set_up_alone(Fixture *fixture, uint32_t slot)
{
    expect_hello(fixture, slot);
    expect_own(fixture, slot);
    expect_nothing(fixture, slot);
}

static void test_order(void **state)
{
    Fixture *fixture = *state;
    uint32_t a = join(fixture), b;

    expect_set_up_alone(fixture, a);
    b = join(fixture);
    expect_hello(fixture, b);
    assert_false(plan_is_set_up(&fixture->state.clients[b]));
    expect_vectors(fixture, b, 0);
    expect_own(fixture, b);
    assert_true(plan_is_set_up(&fixture->state.clients[b]));
    expect_nothing(fixture, b);
    expect_vectors(fixture, a, 1);
    leave(fixture, b);
    expect(fixture, a, STEP_DEPARTURE, 1, 0);
    expect_nothing(fixture, a);
}

/* A peer that leaves in the middle of its vectors: the departure comes next, the rest never. */
static void test_departure_in_the_middle(void **state)
{
    Fixture *fixture = *state;
    uint32_t a = join(fixture), b;

    expect_set_up_alone(fixture, a);
    b = join(fixture);
    expect(fixture, a, STEP_VECTOR, 1, 0);
    leave(fixture, b);
    expect(fixture, a, STEP_DEPARTURE, 1, 1);
    expect_nothing(fixture, a);
    assert_int_equal(view_lowest_unknown(&fixture->state, &fixture->ids), 2);
}

static void test_never_heard_of(void **state)
{
    Fixture *fixture = *state;
    uint32_t a = join(fixture);

    expect_set_up_alone(fixture, a);
    leave(fixture, join(fixture));
    expect_nothing(fixture, a);
    assert_int_equal(view_lowest_unknown(&fixture->state, &fixture->ids), 1);
}

/* Further behind than the list of changes is long: what is true is found all the same. */
static void test_far_behind(void **state)
{
    Fixture *fixture = *state;
    uint32_t a = join(fixture), b, c;

    expect_set_up_alone(fixture, a);
    b = join(fixture);
    expect_vectors(fixture, a, 1);
    leave(fixture, b);
    c = join(fixture);
    assert_int_equal(fixture->state.clients[c].id, 2);
    for (unsigned i = 0; i < 2 * STATE_N_CHANGES; i++)
        leave(fixture, join(fixture));
    assert_false(world_lists(&fixture->state, fixture->state.clients[a].seen));
    expect(fixture, a, STEP_DEPARTURE, 1, 0);
    expect_vectors(fixture, a, 2);
    expect_nothing(fixture, a);
}

static void test_take_back(void **state)
{
    Fixture *fixture = *state;
    uint32_t a = join(fixture), b, c;
    Step steps[8];
    PlanMark mark;

    expect_set_up_alone(fixture, a);
    b = join(fixture);
    c = join(fixture);
    expect(fixture, a, STEP_VECTOR, 1, 0);
    leave(fixture, b);
    for (unsigned kept = 0; kept < 3; kept++) {
        unsigned n = 0;

        mark = plan_mark(&fixture->state, a);
        while (plan_find(&fixture->state, a, &steps[n]))
            plan_enter(&fixture->state, &fixture->ids, a, &steps[n++]);
        assert_int_equal(n, 3);
        plan_take_back(&fixture->state, &fixture->ids, a, mark, steps, n);
    }
    expect(fixture, a, STEP_DEPARTURE, 1, 1);
    expect(fixture, a, STEP_VECTOR, 2, 0);

    mark = plan_mark(&fixture->state, a);
    expect(fixture, a, STEP_VECTOR, 2, 1);
    steps[0] = (Step){STEP_VECTOR, 2, 1};
    plan_take_back(&fixture->state, &fixture->ids, a, mark, steps, 1);
    leave(fixture, c);
    expect(fixture, a, STEP_DEPARTURE, 2, 1);
    expect_nothing(fixture, a);
}

/* No ID is left: whoever knows the one that is used again gets its departure, and nothing more. */
static void test_recycled_id(void **state)
{
    Fixture *fixture = *state;
    uint32_t a = join(fixture), b;

    expect_set_up_alone(fixture, a);
    b = join(fixture);
    expect_vectors(fixture, a, 1);
    leave(fixture, b);
    fixture->ids.n = 2;
    assert_int_equal(view_lowest_unknown(&fixture->state, &fixture->ids), STATE_NO_ID);
    assert_int_equal(ids_least_known(&fixture->ids, &fixture->state), 1);

    view_outdate(&fixture->state, a, 1);
    b = state_take_slot(&fixture->state);
    fixture->state.clients[b].id = 1;
    fixture->state.clients[b].n_vectors = N_VECTORS;
    fixture->state.clients[b].seen = fixture->state.header->n_changes;
    world_join(&fixture->state, b, 1);
    view_spend_own(&fixture->state, &fixture->ids, b, 1);
    expect(fixture, a, STEP_DEPARTURE, 1, 0);
    expect_nothing(fixture, a);
    expect_hello(fixture, b);
    expect_vectors(fixture, b, 0);
    expect_own(fixture, b);
    assert_int_equal(ids_least_known(&fixture->ids, &fixture->state), STATE_NO_ID);
}

/* The bounds of words, tiles and the whole set. */
static void test_high_ids(void **state)
{
    static const uint32_t ids[] = {63, 64, 1023, 1024, 65535};
    Fixture *fixture = *state;
    uint32_t a = join(fixture), slot;

    expect_set_up_alone(fixture, a);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        slot = state_take_slot(&fixture->state);
        fixture->state.clients[slot].id = (int32_t)ids[i];
        fixture->state.clients[slot].n_vectors = N_VECTORS;
        world_join(&fixture->state, slot, ids[i]);
    }
    assert_int_equal(fixture->state.header->id_limit, WIRE_N_IDS);
    fixture->state.clients[a].scan = 0;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        expect_vectors(fixture, a, ids[i]);
    expect_nothing(fixture, a);
}

static void expect_due(const Fixture *fixture, uint32_t slot, uint32_t n)
{
    assert_int_equal(plan_count_due(&fixture->state, slot), n);
    assert_int_equal(view_count_due(&fixture->state, slot), n);
}

/* What is due is the same number however it is counted, in each state that a client can be in. */
static void test_count_due(void **state)
{
    Fixture *fixture = *state;
    uint32_t a = join(fixture), b;

    expect_due(fixture, a, 0);
    expect_set_up_alone(fixture, a);
    expect_due(fixture, a, 0);
    b = join(fixture);
    expect_due(fixture, a, 1);
    expect_due(fixture, b, 1);
    expect(fixture, a, STEP_VECTOR, 1, 0);
    expect_due(fixture, a, 0);
    leave(fixture, b);
    expect_due(fixture, a, 1);
    expect(fixture, a, STEP_DEPARTURE, 1, 1);
    expect_nothing(fixture, a);
    expect_due(fixture, a, 0);
    for (unsigned i = 0; i < 40; i++) { /* those of whom it has not heard come and go */
        b = join(fixture);
        expect_due(fixture, a, 1);
        leave(fixture, b);
        expect_due(fixture, a, 0);
    }
    expect_nothing(fixture, a);
    expect_due(fixture, a, 0);
}

/* The view of a client that has been told everything is not looked at. */
static void test_count_due_is_cheap(void **state)
{
    Fixture *fixture = *state;
    uint32_t a = join(fixture);

    expect_set_up_alone(fixture, a);
    expect_nothing(fixture, a);
    bitmap_set(fixture->state.present, 5); /* which no change has told of */
    assert_int_equal(view_count_due(&fixture->state, a), 1);
    assert_int_equal(plan_count_due(&fixture->state, a), 0);
    bitmap_clear(fixture->state.present, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_departure_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_never_heard_of, setup, teardown),
        cmocka_unit_test_setup_teardown(test_far_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_take_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recycled_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_high_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(test_count_due, setup, teardown),
        cmocka_unit_test_setup_teardown(test_count_due_is_cheap, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
