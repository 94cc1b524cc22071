/* SPDX-License-Identifier: MIT */
/* A device without vfio, through the public face. */
#include "device/resource.h"
#include "device/testing-machine.h"

static IvshmemDevice *open_device(void)
{
    IvshmemDevice *device = NULL;

    assert_int_equal(ivshmem_device_open(&device, NULL, machine_options()), 0);
    assert_non_null(device);
    return device;
}

static void assert_refused(int error, const char *text)
{
    IvshmemDevice *device = (IvshmemDevice *)&machine;

    machine.log[0] = '\0';
    assert_int_equal(ivshmem_device_open(&device, MACHINE_ADDRESS, machine_options()), error);
    assert_ptr_equal(device, &machine); /* untouched */
    assert_non_null(strstr(machine.log, text));
}

static void test_open(void **state)
{
    IvshmemDevice *device;
    uint16_t command;
    char enable[2];

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", false);
    device = open_device();
    assert_string_equal(ivshmem_device_address(device), MACHINE_ADDRESS);
    assert_int_equal(ivshmem_device_revision(device), 1);
    assert_int_equal(ivshmem_device_id(device), MACHINE_ID);
    assert_int_equal(ivshmem_device_memory_size(device), MACHINE_MEMORY);
    assert_int_equal(ivshmem_device_n_vectors(device), MACHINE_N_VECTORS);
    assert_false(ivshmem_device_has_interrupts(device));
    assert_int_equal(ivshmem_device_vector_fd(device, 0), -EOPNOTSUPP);
    assert_int_equal(ivshmem_device_wait(device, 0, 0), -EOPNOTSUPP);
    assert_int_equal(ivshmem_device_wait(device, MACHINE_N_VECTORS, 0), -EINVAL);
    machine_get(machine_leaf(MACHINE_ADDRESS, "config"), CONFIG_COMMAND, &command, 2);
    assert_int_equal(le16toh(command), MACHINE_COMMAND | CONFIG_COMMAND_MEMORY);
    machine_get(machine_leaf(MACHINE_ADDRESS, "enable"), 0, enable, 1);
    assert_int_equal(enable[0], '1');
    assert_refused(-EBUSY, "another process has the device open");

    ivshmem_device_close(device);
    machine_get(machine_leaf(MACHINE_ADDRESS, "config"), CONFIG_COMMAND, &command, 2);
    assert_int_equal(le16toh(command), MACHINE_COMMAND);
    machine_get(machine_leaf(MACHINE_ADDRESS, "enable"), 0, enable, 1);
    assert_int_equal(enable[0], '0');
    ivshmem_device_close(open_device()); /* and again */
    ivshmem_device_close(NULL);
}

static void test_memory_and_doorbell(void **state)
{
    IvshmemDevice *device;
    uint32_t doorbell;
    char text[6];

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", false);
    device = open_device();
    memcpy((char *)ivshmem_device_memory(device) + MACHINE_MEMORY - 6, "hello", 6);
    machine_get(machine_leaf(MACHINE_ADDRESS, "resource2"), MACHINE_MEMORY - 6, text, 6);
    assert_string_equal(text, "hello");

    assert_int_equal(ivshmem_device_ring(device, 65535, 2), 0);
    machine_get(machine_leaf(MACHINE_ADDRESS, "resource0"), 12, &doorbell, 4);
    assert_int_equal(le32toh(doorbell), 0xffff0002);
    assert_int_equal(ivshmem_device_ring(device, 65536, 0), -EINVAL);
    assert_int_equal(ivshmem_device_ring(device, 0, 65536), -EINVAL);
    machine_get(machine_leaf(MACHINE_ADDRESS, "resource0"), 12, &doorbell, 4);
    assert_int_equal(le32toh(doorbell), 0xffff0002);
    ivshmem_device_close(device);
}

/* A range that does not start at a page is found inside its page. */
static void test_skew(void **state)
{
    const uint32_t id = htole32(9);
    uint8_t page[4096] = {0};
    IvshmemDevice *device;

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", false);
    machine_put(machine_leaf(MACHINE_ADDRESS, "resource0"), 0, page, sizeof(page));
    machine_put(machine_leaf(MACHINE_ADDRESS, "resource0"), 0x300 + 8, &id, sizeof(id));
    machine_put_text(machine_leaf(MACHINE_ADDRESS, "resource"),
                     "0x00000000febf1300 0x00000000febf13ff 0x0000000000040200\n");
    device = open_device();
    assert_int_equal(ivshmem_device_id(device), 9);
    ivshmem_device_close(device);
}

static void test_plain(void **state)
{
    const uint8_t none = 0;
    IvshmemDevice *device;

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", false);
    machine_put(machine_leaf(MACHINE_ADDRESS, "config"), 0x06, &none, 1);
    device = open_device();
    assert_int_equal(ivshmem_device_id(device), -EOPNOTSUPP);
    assert_int_equal(ivshmem_device_n_vectors(device), 0);
    assert_int_equal(ivshmem_device_ring(device, 0, 0), -EOPNOTSUPP);
    assert_int_equal(ivshmem_device_memory_size(device), MACHINE_MEMORY);
    ivshmem_device_close(device);
}

static void test_refused(void **state)
{
    const uint32_t no_id = UINT32_MAX;

    (void)state;
    assert_refused(-ENODEV, "no ivshmem device at this address");
    machine_add(MACHINE_ADDRESS, 0, "", false);
    assert_refused(-EPROTONOSUPPORT, "its revision is 0");
    machine_add(MACHINE_ADDRESS, 1, "ivshmem-net", false);
    assert_refused(-EBUSY, "driver ivshmem-net has it");
    machine_add(MACHINE_ADDRESS, 1, "", false);
    machine_put(machine_leaf(MACHINE_ADDRESS, "resource0"), 8, &no_id, sizeof(no_id));
    assert_refused(-EIO, "cannot read its ID");
}

/* Whichever file cannot be opened, the error comes through and nothing stays open or enabled. */
static void test_faults(void **state)
{
    static const char *const leaves[] = {"/resource0", "/config", "/enable", "/resource2"};

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", false);
    machine.fail_errno = EACCES;
    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        char enable[2];
        uint16_t command;

        machine.fail_open = leaves[i];
        assert_refused(-EACCES, "Permission denied");
        machine_get(machine_leaf(MACHINE_ADDRESS, "enable"), 0, enable, 1);
        assert_int_equal(enable[0], '0');
        machine_get(machine_leaf(MACHINE_ADDRESS, "config"), CONFIG_COMMAND, &command, 2);
        assert_int_equal(le16toh(command), MACHINE_COMMAND);
    }
}

typedef struct Counter {
    int looks;
    int enough;
} Counter;

static bool look(void *opaque)
{
    Counter *counter = opaque;

    return ++counter->looks >= counter->enough;
}

static void test_wait_for(void **state)
{
    Counter counter = {.enough = 1};
    IvshmemDevice *device;

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", false);
    device = open_device();
    assert_int_equal(ivshmem_device_wait_for(device, 0, look, &counter, 0), 1);
    assert_int_equal(counter.looks, 1);
    counter = (Counter){.enough = 20};
    assert_int_equal(ivshmem_device_wait_for(device, 99, look, &counter, -1), 1);
    assert_int_equal(counter.looks, 20);
    counter = (Counter){.enough = INT_MAX};
    assert_int_equal(ivshmem_device_wait_for(device, 0, look, &counter, 0), 0);
    assert_int_equal(counter.looks, 1);
    assert_int_equal(ivshmem_device_wait_for(device, 0, look, &counter, 5), 0);
    assert_true(counter.looks > 3); /* a pause is never longer than a millisecond or so */
    counter = (Counter){.enough = INT_MAX};
    machine_alarm(5);
    assert_int_equal(ivshmem_device_wait_for(device, 0, look, &counter, -1), -EINTR);
    machine_alarm(0);
    ivshmem_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        machine_test(test_open),     machine_test(test_memory_and_doorbell),
        machine_test(test_skew),     machine_test(test_plain),
        machine_test(test_refused),  machine_test(test_faults),
        machine_test(test_wait_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
