/* SPDX-License-Identifier: MIT */
#include "client/decoder.h"
#include "util/testing.h"

#include <string.h>

#define FD    true
#define NO_FD false

static Decoder decoder; /* 128 KiB are much for a stack */

static int setup(void **state)
{
    (void)state;
    memset(&decoder, 0, sizeof(decoder));
    return 0;
}

/* Feeds a message that must be good, and checks what it is. */
static void expect_event(int64_t value, bool has_fd, DecoderEventKind kind, uint32_t id,
                         uint32_t vector)
{
    DecoderEvent event;

    assert_int_equal(decoder_feed(&decoder, value, has_fd, &event), IVSHMEM_CLIENT_FAULT_NONE);
    assert_int_equal(event.kind, kind);
    assert_int_equal(event.id, id);
    assert_int_equal(event.vector, vector);
}

static void expect_fault(int64_t value, bool has_fd, IvshmemClientFault fault)
{
    DecoderEvent event, untouched;

    memset(&event, 0x55, sizeof(event));
    untouched = event;
    assert_int_equal(decoder_feed(&decoder, value, has_fd, &event), fault);
    assert_memory_equal(&event, &untouched, sizeof(event));
    assert_true(strlen(decoder_fault_text(fault)) > 0);
}

static void begin(uint32_t own_id)
{
    expect_event(0, NO_FD, DECODER_EVENT_VERSION, 0, 0);
    expect_event(own_id, NO_FD, DECODER_EVENT_OWN_ID, own_id, 0);
    expect_event(-1, FD, DECODER_EVENT_MEMORY, 0, 0);
}

static void test_good_server(void **state)
{
    (void)state;
    begin(7);
    expect_event(0, FD, DECODER_EVENT_VECTOR, 0, 0);
    expect_event(0, FD, DECODER_EVENT_VECTOR, 0, 1);
    expect_event(65535, FD, DECODER_EVENT_VECTOR, 65535, 0);
    expect_event(7, FD, DECODER_EVENT_VECTOR, 7, 0);
    expect_event(7, FD, DECODER_EVENT_VECTOR, 7, 1);
    expect_event(0, NO_FD, DECODER_EVENT_LEFT, 0, 0);
    expect_event(0, FD, DECODER_EVENT_VECTOR, 0, 0);
    expect_event(0, NO_FD, DECODER_EVENT_LEFT, 0, 0);
}

static void test_bad_version(void **state)
{
    (void)state;
    expect_fault(1, NO_FD, IVSHMEM_CLIENT_FAULT_VERSION);
    expect_fault(-1, FD, IVSHMEM_CLIENT_FAULT_VERSION);
    expect_fault(INT64_MIN, NO_FD, IVSHMEM_CLIENT_FAULT_VERSION);
    expect_fault(0, FD, IVSHMEM_CLIENT_FAULT_UNEXPECTED_FD);
}

static void test_bad_own_id(void **state)
{
    (void)state;
    expect_event(0, NO_FD, DECODER_EVENT_VERSION, 0, 0);
    expect_fault(-1, NO_FD, IVSHMEM_CLIENT_FAULT_OWN_ID);
    expect_fault(65536, NO_FD, IVSHMEM_CLIENT_FAULT_OWN_ID);
    expect_fault(INT64_MAX, NO_FD, IVSHMEM_CLIENT_FAULT_OWN_ID);
    expect_fault(3, FD, IVSHMEM_CLIENT_FAULT_UNEXPECTED_FD);
    expect_event(65535, NO_FD, DECODER_EVENT_OWN_ID, 65535, 0);
}

static void test_bad_memory(void **state)
{
    (void)state;
    expect_event(0, NO_FD, DECODER_EVENT_VERSION, 0, 0);
    expect_event(0, NO_FD, DECODER_EVENT_OWN_ID, 0, 0);
    expect_fault(-1, NO_FD, IVSHMEM_CLIENT_FAULT_MEMORY_WITHOUT_FD);
    expect_fault(1, FD, IVSHMEM_CLIENT_FAULT_NOT_MEMORY);
    expect_fault(-2, FD, IVSHMEM_CLIENT_FAULT_NOT_MEMORY);
    expect_event(-1, FD, DECODER_EVENT_MEMORY, 0, 0);
    expect_fault(-1, FD, IVSHMEM_CLIENT_FAULT_MEMORY_AGAIN);
    expect_fault(-1, NO_FD, IVSHMEM_CLIENT_FAULT_MEMORY_AGAIN);
}

static void test_bad_peers(void **state)
{
    (void)state;
    begin(3);
    expect_fault(-2, FD, IVSHMEM_CLIENT_FAULT_ID_RANGE);
    expect_fault(65536, FD, IVSHMEM_CLIENT_FAULT_ID_RANGE);
    expect_fault(INT64_MIN, NO_FD, IVSHMEM_CLIENT_FAULT_ID_RANGE);
    expect_fault(5, NO_FD, IVSHMEM_CLIENT_FAULT_UNKNOWN_DEPARTURE);
    expect_fault(3, NO_FD, IVSHMEM_CLIENT_FAULT_OWN_DEPARTURE);
    expect_event(3, FD, DECODER_EVENT_VECTOR, 3, 0);
    expect_fault(3, NO_FD, IVSHMEM_CLIENT_FAULT_OWN_DEPARTURE);
    expect_event(5, FD, DECODER_EVENT_VECTOR, 5, 0);
    expect_event(5, NO_FD, DECODER_EVENT_LEFT, 5, 0);
    expect_fault(5, NO_FD, IVSHMEM_CLIENT_FAULT_UNKNOWN_DEPARTURE);
}

static void test_most_vectors(void **state)
{
    (void)state;
    begin(0);
    for (uint32_t id = 0; id < 2; id++) {
        for (uint32_t vector = 0; vector < 2048; vector++)
            expect_event(id, FD, DECODER_EVENT_VECTOR, id, vector);
        expect_fault(id, FD, IVSHMEM_CLIENT_FAULT_VECTORS);
    }
}

/* Every ID at once, and all of them again: the tables have no edge. */
static void test_most_peers(void **state)
{
    (void)state;
    begin(0);
    for (int round = 0; round < 2; round++) {
        for (uint32_t id = 1; id < WIRE_N_IDS; id++)
            expect_event(id, FD, DECODER_EVENT_VECTOR, id, 0);
        for (uint32_t id = 1; id < WIRE_N_IDS; id++)
            expect_event(id, NO_FD, DECODER_EVENT_LEFT, id, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good_server, setup),
        cmocka_unit_test_setup(test_bad_version, setup),
        cmocka_unit_test_setup(test_bad_own_id, setup),
        cmocka_unit_test_setup(test_bad_memory, setup),
        cmocka_unit_test_setup(test_bad_peers, setup),
        cmocka_unit_test_setup(test_most_vectors, setup),
        cmocka_unit_test_setup(test_most_peers, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
