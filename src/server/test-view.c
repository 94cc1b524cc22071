/* SPDX-License-Identifier: MIT */
/* What is kept of IDs that have gone, while a client stays that has seen them all. */
#include "server/view.h"

#include "server/world.h"
#include "util/cleanup.h"
#include "util/testing.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS 20
#define STAYS   0
#define COMES   1

typedef struct Fixture {
    int fd;
    State state;
    Ids ids;
} Fixture;

static int set_up(void **data)
{
    static Fixture fixture;

    fixture.fd = memfd_create("state", MFD_CLOEXEC);
    assert_true(fixture.fd >= 0);
    assert_int_equal(state_new(&fixture.state, fixture.fd, CLIENTS, 1), 0);
    assert_int_equal(ids_new(&fixture.ids, WIRE_N_IDS, &fixture.state.header->id_floor), 0);
    for (uint32_t slot = 0; slot < CLIENTS; slot++)
        assert_int_equal(state_take_slot(&fixture.state), slot);
    for (uint32_t slot = 0; slot < CLIENTS; slot++)
        bitmap_set(fixture.state.connected, slot);
    *data = &fixture;
    return 0;
}

static int tear_down(void **data)
{
    Fixture *fixture = *data;

    ids_free(&fixture->ids);
    state_free(&fixture->state);
    fd_close(fixture->fd);
    return 0;
}

/* Pages of memory that the state has, and the counters. */
static long resident_pages(const Fixture *fixture)
{
    long page = sysconf(_SC_PAGESIZE);
    size_t size = WIRE_N_IDS * sizeof(uint32_t), n = size / (size_t)page;
    unsigned char resident[WIRE_N_IDS * sizeof(uint32_t) / 4096];
    struct stat file;
    long pages;

    assert_int_equal(fstat(fixture->fd, &file), 0);
    pages = file.st_blocks * 512 / page;
    assert_int_equal(mincore(fixture->ids.known, size, resident), 0);
    for (size_t i = 0; i < n; i++)
        pages += resident[i] & 1;
    return pages;
}

/* The lowest free ID is a newcomer's. */
static uint32_t join(Fixture *fixture, uint32_t slot)
{
    int32_t id = view_lowest_unknown(&fixture->state, &fixture->ids);

    assert_true(id >= 0);
    view_settle(&fixture->state, &fixture->ids, (uint32_t)id);
    fixture->state.clients[slot].id = id;
    world_join(&fixture->state, slot, (uint32_t)id);
    ids_learn(&fixture->ids, (uint32_t)id);
    view_spend_own(&fixture->state, &fixture->ids, slot, (uint32_t)id);
    return (uint32_t)id;
}

static void leave(Fixture *fixture, uint32_t slot)
{
    uint32_t id = (uint32_t)fixture->state.clients[slot].id;

    view_clear(&fixture->state, &fixture->ids, slot);
    view_settle(&fixture->state, &fixture->ids, id);
    world_leave(&fixture->state, id);
    ids_forget(&fixture->ids, id);
}

/* One comes, hears of the one that stays, is heard of, and leaves. */
static uint32_t come_and_go(Fixture *fixture)
{
    uint32_t id = join(fixture, COMES);

    view_tell(&fixture->state, &fixture->ids, STAYS, id);
    view_tell(&fixture->state, &fixture->ids, COMES, (uint32_t)fixture->state.clients[STAYS].id);
    leave(fixture, COMES);
    assert_int_equal(view_due(&fixture->state, STAYS, id), VIEW_DUE_DEPARTURE);
    view_spend(&fixture->state, &fixture->ids, STAYS, id);
    assert_int_equal(view_due(&fixture->state, STAYS, id), VIEW_DUE_NOTHING);
    return id;
}

/* What the counters must say follows from the views and from who is present. */
static void check_counters(const Fixture *fixture)
{
    uint32_t n_taken = 0;

    for (uint32_t id = 0; id < WIRE_N_IDS; id++) {
        uint32_t n = bitmap_test(fixture->state.present, id);

        for (uint32_t slot = 0; slot < CLIENTS; slot++) {
            ViewWord word = view_word(&fixture->state, slot, id);

            n += (word.told | word.spent) >> (id % 64) & 1;
        }
        assert_int_equal(ids_count(&fixture->ids, id), n);
        assert_int_equal(bitmap_test(fixture->ids.taken, id), n > 0);
        n_taken += n > 0;
    }
    assert_int_equal(fixture->ids.n_taken, n_taken);
}

static void test_all_ids_take_no_more_than_a_few(void **data)
{
    Fixture *fixture = *data;
    long page = sysconf(_SC_PAGESIZE), before;
    uint32_t last = 0;

    assert_int_equal(join(fixture, STAYS), 0);
    while (last < 2 * BLOCK_IDS)
        last = come_and_go(fixture);
    before = resident_pages(fixture);
    while (last < WIRE_N_IDS - 1)
        last = come_and_go(fixture);
    /* Larger than a block's tables, a page cannot be given back with one of them. */
    if (page == 4096)
        assert_true(resident_pages(fixture) <= before + 2); /* who is present: a bit an ID */
    check_counters(fixture);
    assert_int_equal(fixture->ids.n_taken, WIRE_N_IDS);
    assert_int_equal(view_lowest_unknown(&fixture->state, &fixture->ids), STATE_NO_ID);
    leave(fixture, STAYS);
    check_counters(fixture);
    assert_int_equal(view_lowest_unknown(&fixture->state, &fixture->ids), 0);
}

/* A departure that was not sent after all is the one that made a block whole. */
static void test_taken_back(void **data)
{
    Fixture *fixture = *data;
    Client *client = &fixture->state.clients[STAYS];
    uint32_t last = 0;

    assert_int_equal(join(fixture, STAYS), 0);
    while (last < 2 * BLOCK_IDS - 1)
        last = come_and_go(fixture);
    assert_int_equal(client->sealed, 3);
    for (unsigned again = 0; again < 2; again++) {
        view_unspend(&fixture->state, &fixture->ids, STAYS, last);
        assert_int_equal(client->sealed, 1);
        assert_int_equal(view_due(&fixture->state, STAYS, last), VIEW_DUE_DEPARTURE);
        check_counters(fixture);
    }
    view_spend(&fixture->state, &fixture->ids, STAYS, last);
    assert_int_equal(client->sealed, 3);
    check_counters(fixture);
}

/* Others stay, too, in the same tile and in another, and know some of the block. */
static void test_some_know_a_part(void **data)
{
    Fixture *fixture = *data;
    const uint32_t others[] = {COMES + 1, VIEW_TILE_CLIENTS + 1};
    uint32_t last = 0;

    assert_int_equal(join(fixture, STAYS), 0);
    while (last < BLOCK_IDS + 100)
        last = come_and_go(fixture);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t id = join(fixture, others[i]);

        view_tell(&fixture->state, &fixture->ids, STAYS, id);
        view_tell(&fixture->state, &fixture->ids, others[i], 0);
    }
    while (last < 3 * BLOCK_IDS)
        last = come_and_go(fixture);
    check_counters(fixture);
    assert_int_equal(fixture->state.clients[STAYS].sealed, 5); /* of block 1 two are there */
    for (unsigned i = 0; i < 2; i++) {
        uint32_t id = (uint32_t)fixture->state.clients[others[i]].id;

        assert_int_equal(world_holder(&fixture->state, id), others[i]);
        leave(fixture, others[i]);
        view_spend(&fixture->state, &fixture->ids, STAYS, id);
        check_counters(fixture);
    }
    assert_int_equal(fixture->state.clients[STAYS].sealed, 7);
}

static void settle_all(Fixture *fixture)
{
    view_settle_all(&fixture->state, &fixture->ids);
    check_counters(fixture);
}

/* As another process that goes on. */
static void survey(Fixture *fixture)
{
    ids_free(&fixture->ids);
    assert_int_equal(ids_new(&fixture->ids, WIRE_N_IDS, &fixture->state.header->id_floor), 0);
    view_survey(&fixture->state, &fixture->ids);
}

/* Without what is kept for that. */
static int32_t find_lowest_unknown(const Fixture *fixture)
{
    for (uint32_t id = 0; id < WIRE_N_IDS; id++) {
        bool known = bitmap_test(fixture->state.present, id);

        for (uint32_t slot = 0; slot < CLIENTS; slot++) {
            ViewWord word = view_word(&fixture->state, slot, id);

            known |= (word.told | word.spent) >> (id % 64) & 1;
        }
        if (!known)
            return (int32_t)id;
    }
    return STATE_NO_ID;
}

static void fill_for_survey(Fixture *fixture)
{
    uint32_t last = 0;

    assert_int_equal(join(fixture, STAYS), 0);
    while (last < 2 * BLOCK_IDS)
        last = come_and_go(fixture);
    for (uint32_t slot = COMES + 1; slot < CLIENTS; slot++)
        for (uint32_t id = slot; id < 3 * BLOCK_IDS; id += slot)
            view_tell(&fixture->state, &fixture->ids, slot, id);
}

/* Another process counts anew, and finds the same; wherever the one before was killed. */
static void test_counted_anew(void **data)
{
    Fixture *fixture = *data;

    fill_for_survey(fixture);
    for (unsigned between = 0; between < 2; between++) {
        if (between)
            fixture->state.clients[STAYS].sealed |= 1; /* of the one that it keeps */
        survey(fixture);
        settle_all(fixture);
    }
    leave(fixture, STAYS);
    check_counters(fixture);
}

/* What changes before it is counted is counted once. */
static void test_changes_before_it_is_counted(void **data)
{
    Fixture *fixture = *data;
    State *state = &fixture->state;
    Ids *ids = &fixture->ids;
    uint32_t last = BLOCK_IDS;

    fill_for_survey(fixture);
    survey(fixture);
    assert_true(state->clients[STAYS].sealed >> 1 & 1);
    view_unspend(state, ids, STAYS, BLOCK_IDS + 1); /* it keeps the block again */
    settle_all(fixture);
    survey(fixture);
    view_spend(state, ids, STAYS, BLOCK_IDS + 1); /* and has sealed it again */
    assert_true(state->clients[STAYS].sealed >> 1 & 1);
    settle_all(fixture);
    survey(fixture);
    view_tell(state, ids, COMES + 1, 5 * (COMES + 1) + 1);
    view_untell(state, ids, COMES + 2, COMES + 2);
    view_spend(state, ids, COMES + 2, 2 * (COMES + 2));
    settle_all(fixture);
    survey(fixture);
    while (last < 3 * BLOCK_IDS)
        last = come_and_go(fixture);
    settle_all(fixture);
    survey(fixture);
    view_clear(state, ids, COMES + 1);
    settle_all(fixture);
    survey(fixture);
    leave(fixture, STAYS);
    settle_all(fixture);
}

/* The first newcomer waits for the block that he gets an ID of, and no other is counted for him. */
static void test_lowest_unknown_before_it_is_counted(void **data)
{
    Fixture *fixture = *data;
    State *state = &fixture->state;
    int32_t lowest;
    int n_left;

    fill_for_survey(fixture);
    view_tell(state, &fixture->ids, COMES + 1, 6 * BLOCK_IDS);
    lowest = view_lowest_unknown(state, &fixture->ids);
    assert_int_equal(lowest, find_lowest_unknown(fixture));
    survey(fixture);
    n_left = __builtin_popcountll(fixture->ids.uncounted);
    assert_true(n_left >= 2);
    assert_int_equal(view_lowest_unknown(state, &fixture->ids), lowest);
    assert_int_equal(__builtin_popcountll(fixture->ids.uncounted), n_left - 1);

    view_clear(state, &fixture->ids, STAYS); /* who knew IDs below that nobody else did */
    lowest = find_lowest_unknown(fixture);
    survey(fixture);
    assert_int_equal(view_lowest_unknown(state, &fixture->ids), lowest);
    settle_all(fixture);
    assert_int_equal(view_lowest_unknown(state, &fixture->ids), lowest);
}

/* A process that was killed when it freed an ID may not have said so: that is found later. Nothing
 * that somebody knows is given out. */
static void test_floor_that_is_wrong(void **data)
{
    Fixture *fixture = *data;
    State *state = &fixture->state;
    const uint32_t wrong[] = {1, BLOCK_IDS + 1, 2 * BLOCK_IDS + 7, WIRE_N_IDS, UINT32_MAX};
    int32_t lowest;

    fill_for_survey(fixture);
    lowest = find_lowest_unknown(fixture);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int32_t found;

        state->header->id_floor = wrong[i];
        survey(fixture);
        found = view_lowest_unknown(state, &fixture->ids);
        assert_true(found >= lowest);
        assert_int_equal(ids_count(&fixture->ids, (uint32_t)found), 0);
        settle_all(fixture);
        assert_int_equal(view_lowest_unknown(state, &fixture->ids), lowest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_ids_take_no_more_than_a_few, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_some_know_a_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counted_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes_before_it_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lowest_unknown_before_it_is_counted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_floor_that_is_wrong, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
