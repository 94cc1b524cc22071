/* SPDX-License-Identifier: MIT */
#include "device/resource.h"
#include "device/testing-machine.h"

static void assert_file(const char *name, const char *text)
{
    char found[64] = "";

    machine_get(name, 0, found, strlen(text));
    assert_string_equal(found, text);
}

static const char *driver(void)
{
    static IvshmemDeviceInfo info;

    assert_int_equal(ivshmem_device_list(machine_options(), &info, 1), 1);
    return info.driver;
}

static void test_bind(void **state)
{
    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", true);
    assert_int_equal(ivshmem_device_bind("00:03.0", machine_options()), 0);
    assert_string_equal(driver(), "vfio-pci");
    assert_file(machine_leaf(MACHINE_ADDRESS, "driver_override"), "vfio-pci");
    assert_file("sys/bus/pci/drivers_probe", MACHINE_ADDRESS);
    machine.fail_open = "/drivers_probe"; /* not asked again */
    machine.fail_errno = EIO;
    assert_int_equal(ivshmem_device_bind(NULL, machine_options()), 0);

    assert_int_equal(ivshmem_device_unbind(NULL, machine_options()), 0);
    assert_string_equal(driver(), "");
    assert_file("sys/bus/pci/drivers/vfio-pci/unbind", MACHINE_ADDRESS);
    assert_file(machine_leaf(MACHINE_ADDRESS, "driver_override"), "\n");
    machine.fail_open = "/unbind";
    assert_int_equal(ivshmem_device_unbind(NULL, machine_options()), 0);
}

static void test_refused(void **state)
{
    int lock;

    (void)state;
    assert_int_equal(ivshmem_device_bind(NULL, machine_options()), -ENODEV);
    assert_int_equal(ivshmem_device_unbind("x", machine_options()), -EINVAL);
    machine_add(MACHINE_ADDRESS, 1, "ivshmem-net", true);
    assert_int_equal(ivshmem_device_bind(NULL, machine_options()), -EBUSY);
    assert_int_equal(ivshmem_device_unbind(NULL, machine_options()), -EBUSY);
    assert_string_equal(driver(), "ivshmem-net");
    machine_add(MACHINE_ADDRESS, 1, "", true);
    lock = resource_lock(machine.root, MACHINE_ADDRESS); /* somebody has it open */
    assert_true(lock >= 0);
    assert_int_equal(ivshmem_device_bind(NULL, machine_options()), -EBUSY);
    (void)close(lock);
    assert_string_equal(driver(), "");
}

/* A driver that does not take the device leaves it as it was. */
static void test_not_taken(void **state)
{
    (void)state;
    machine.no_binding = true;
    machine_add(MACHINE_ADDRESS, 1, "", true);
    assert_int_equal(ivshmem_device_bind(NULL, machine_options()), -EIO);
    assert_file(machine_leaf(MACHINE_ADDRESS, "driver_override"), "\n");
    machine_add(MACHINE_ADDRESS, 1, "", false);
    assert_int_equal(ivshmem_device_bind(NULL, machine_options()), -EOPNOTSUPP);
    assert_non_null(strstr(machine.log, "behind no IOMMU"));
    assert_file(machine_leaf(MACHINE_ADDRESS, "driver_override"), "\n");
}

static void test_faults(void **state)
{
    static const char *const leaves[] = {"/driver_override", "/drivers_probe", "/resource0"};
    char path[PATH_MAX];
    char away[PATH_MAX];

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", true);
    machine.fail_errno = EACCES;
    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        machine.fail_open = leaves[i];
        assert_int_equal(ivshmem_device_bind(NULL, machine_options()), -EACCES);
    }
    machine.fail_open = NULL;
    machine_path(path, "sys/bus/pci/drivers/vfio-pci");
    machine_path(away, "away");
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(ivshmem_device_bind(NULL, machine_options()), -ENOENT);
    assert_non_null(strstr(machine.log, "not loaded"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        machine_test(test_bind),
        machine_test(test_refused),
        machine_test(test_not_taken),
        machine_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
