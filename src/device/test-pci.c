/* SPDX-License-Identifier: MIT */
#include "device/pci.h"
#include "device/testing-machine.h"

static const LogSink quiet;

static void test_list(void **state)
{
    IvshmemDeviceInfo infos[3];

    (void)state;
    assert_int_equal(ivshmem_device_list(machine_options(), NULL, 0), 0);
    machine_add("0000:01:00.0", 1, "vfio-pci", true);
    machine_add("0000:00:04.0", 0, "", false);
    machine_add("0000:00:05.0", 1, "", true);
    machine_put_text(machine_leaf("0000:00:05.0", "device"), "0x1111\n"); /* something else */
    assert_int_equal(ivshmem_device_list(machine_options(), infos, 3), 2);
    assert_string_equal(infos[0].address, "0000:00:04.0");
    assert_int_equal(infos[0].revision, 0);
    assert_int_equal(infos[0].iommu_group, -1);
    assert_string_equal(infos[0].driver, "");
    assert_int_equal(infos[0].memory_size, MACHINE_MEMORY);
    assert_string_equal(infos[1].address, "0000:01:00.0");
    assert_int_equal(infos[1].revision, 1);
    assert_int_equal(infos[1].iommu_group, 5);
    assert_string_equal(infos[1].driver, "vfio-pci");
    /* Less room than devices: the count is theirs. */
    memset(&infos[1], 0, sizeof(infos[1]));
    assert_int_equal(ivshmem_device_list(machine_options(), infos, 1), 2);
    assert_string_equal(infos[1].address, "");
}

static void test_no_pci(void **state)
{
    const IvshmemDeviceOptions nowhere = {.root = "/nonexistent"};

    (void)state;
    assert_int_equal(ivshmem_device_list(&nowhere, NULL, 0), 0);
}

static void test_find(void **state)
{
    static const struct {
        const char *which;
        int result;
        const char *address;
    } cases[] = {
        {NULL, 0, "0000:00:03.0"},
        {"0", 0, "0000:00:03.0"},
        {"1", 0, "0000:00:1f.7"},
        {"2", -ENODEV, NULL},
        {"99999999999999999999", -EINVAL, NULL},
        {"0000:00:03.0", 0, "0000:00:03.0"},
        {"00:03.0", 0, "0000:00:03.0"},
        {"0:3.0", 0, "0000:00:03.0"},
        {"0000:00:1F.7", 0, "0000:00:1f.7"},
        {"00:03.1", -ENODEV, NULL},
        {"00:03.0x", -EINVAL, NULL},
        {"00:03", -EINVAL, NULL},
        {"../x", -EINVAL, NULL},
        {"0000:00:03.0/..", -EINVAL, NULL},
        {"", -EINVAL, NULL},
        {"-1", -EINVAL, NULL},
        {"first", -EINVAL, NULL},
    };

    (void)state;
    machine_add("0000:00:1f.7", 1, "", true);
    machine_add("0000:00:03.0", 1, "", true);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        IvshmemDeviceInfo info = {.address = "untouched"};

        assert_int_equal(pci_find(machine.root, cases[i].which, &quiet, &info), cases[i].result);
        assert_string_equal(info.address, cases[i].result ? "untouched" : cases[i].address);
    }
}

static void test_resource(void **state)
{
    PciResource resource = {0};

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", true);
    assert_int_equal(pci_resource(machine.root, MACHINE_ADDRESS, 2, &resource), 0);
    assert_int_equal(resource.start, 0xfe000000);
    assert_int_equal(resource.size, 8192);
    assert_int_equal(pci_resource(machine.root, MACHINE_ADDRESS, 3, &resource), 0);
    assert_int_equal(resource.size, 0);
    assert_int_equal(pci_resource(machine.root, MACHINE_ADDRESS, 4, &resource), -EINVAL);
    assert_int_equal(pci_resource(machine.root, "0000:00:00.0", 0, &resource), -ENOENT);
    machine_put_text(machine_leaf(MACHINE_ADDRESS, "resource"), "0x10 0x08 0x0\n");
    assert_int_equal(pci_resource(machine.root, MACHINE_ADDRESS, 0, &resource), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        machine_test(test_list),
        machine_test(test_no_pci),
        machine_test(test_find),
        machine_test(test_resource),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
