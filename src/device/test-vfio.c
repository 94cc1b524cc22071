/* SPDX-License-Identifier: MIT */
/* A device through vfio, through the public face. */
#include "device/testing-machine.h"
#include "device/vfio.h"

static IvshmemDevice *open_device(void)
{
    IvshmemDevice *device = NULL;

    machine_add(MACHINE_ADDRESS, 1, VFIO_DRIVER, true);
    assert_int_equal(ivshmem_device_open(&device, NULL, machine_options()), 0);
    assert_non_null(device);
    return device;
}

static void assert_refused(int error, const char *text)
{
    IvshmemDevice *device = NULL;

    machine.log[0] = '\0';
    machine_add(MACHINE_ADDRESS, 1, VFIO_DRIVER, true);
    assert_int_equal(ivshmem_device_open(&device, "0", machine_options()), error);
    assert_null(device);
    assert_non_null(strstr(machine.log, text));
    assert_non_null(strstr(machine.log, MACHINE_ADDRESS));
}

static uint16_t command_register(void)
{
    uint16_t command;

    machine_get("vfio-device", MACHINE_CONFIG_AT + CONFIG_COMMAND, &command, sizeof(command));
    return le16toh(command);
}

static void ring_as_kernel(unsigned vector, uint64_t times)
{
    assert_int_equal(write(machine.vectors[vector], &times, sizeof(times)), sizeof(times));
}

static void test_open(void **state)
{
    IvshmemDevice *device = open_device();
    uint32_t doorbell;
    char text[6];

    (void)state;
    assert_int_equal(ivshmem_device_id(device), MACHINE_ID);
    assert_int_equal(ivshmem_device_n_vectors(device), MACHINE_N_VECTORS);
    assert_int_equal(ivshmem_device_memory_size(device), MACHINE_MEMORY);
    assert_true(ivshmem_device_has_interrupts(device));
    assert_int_equal(machine.n_vectors, MACHINE_N_VECTORS);
    assert_int_equal(command_register(),
                     MACHINE_COMMAND | CONFIG_COMMAND_MEMORY | CONFIG_COMMAND_BUS_MASTER);

    memcpy(ivshmem_device_memory(device), "hello", 6);
    machine_get("vfio-device", MACHINE_BAR2_AT, text, 6);
    assert_string_equal(text, "hello");
    assert_int_equal(ivshmem_device_ring(device, 3, 1), 0);
    machine_get("vfio-device", MACHINE_BAR0_AT + 12, &doorbell, 4);
    assert_int_equal(le32toh(doorbell), 0x00030001);

    ivshmem_device_close(device);
    assert_int_equal(machine.n_vectors, 0);
    assert_int_equal(command_register(), MACHINE_COMMAND);
}

/* Registers that share their page with something else are reached through the fd. */
static void test_unmapped_registers(void **state)
{
    IvshmemDevice *device;
    uint32_t doorbell;

    (void)state;
    machine.bar0_unmapped = true;
    device = open_device();
    assert_int_equal(ivshmem_device_id(device), MACHINE_ID);
    assert_int_equal(ivshmem_device_ring(device, 3, 1), 0);
    machine_get("vfio-device", MACHINE_BAR0_AT + 12, &doorbell, 4);
    assert_int_equal(le32toh(doorbell), 0x00030001);
    ivshmem_device_close(device);
}

static void test_wait(void **state)
{
    IvshmemDevice *device = open_device();

    (void)state;
    for (unsigned vector = 0; vector < MACHINE_N_VECTORS; vector++) {
        assert_int_equal(ivshmem_device_wait(device, vector, 0), 1); /* the first, at once */
        assert_int_equal(ivshmem_device_wait(device, vector, 0), 0);
        assert_int_equal(ivshmem_device_wait(device, vector, 1), 0);
    }
    ring_as_kernel(1, 3);
    assert_int_equal(ivshmem_device_wait(device, 0, 0), 0);
    assert_int_equal(ivshmem_device_wait(device, 1, 0), 1); /* three in one */
    assert_int_equal(ivshmem_device_wait(device, 1, 0), 0);
    assert_int_equal(ivshmem_device_vector_fd(device, 2), machine.vectors[2]);
    assert_int_equal(ivshmem_device_wait(device, MACHINE_N_VECTORS, 0), -EINVAL);
    assert_int_equal(ivshmem_device_vector_fd(device, MACHINE_N_VECTORS), -EINVAL);
    ivshmem_device_close(device);
}

typedef struct Look {
    int looks;
    int rings; /* while it looks; what is rung then must not be slept through */
    int enough;
} Look;

static bool look(void *opaque)
{
    Look *found = opaque;

    found->looks++;
    if (found->rings-- > 0)
        ring_as_kernel(0, 1);
    return found->looks >= found->enough;
}

static void test_wait_for(void **state)
{
    IvshmemDevice *device = open_device();
    Look found = {.enough = 1};

    (void)state;
    assert_int_equal(ivshmem_device_wait_for(device, 0, look, &found, 0), 1);
    assert_int_equal(ivshmem_device_wait(device, 0, 0), 1); /* it has not waited yet */
    found = (Look){.enough = 10, .rings = 9};
    assert_int_equal(ivshmem_device_wait_for(device, 0, look, &found, -1), 1);
    assert_int_equal(found.looks, 10);
    found = (Look){.enough = 10, .rings = 2};
    assert_int_equal(ivshmem_device_wait_for(device, 0, look, &found, 20), 0);
    assert_true(found.looks < 10); /* it looks when it is rung, and not all the time */
    assert_int_equal(ivshmem_device_wait_for(device, MACHINE_N_VECTORS, look, &found, 0), -EINVAL);
    ivshmem_device_close(device);
}

static void test_signal(void **state)
{
    IvshmemDevice *device = open_device();
    Look found = {.enough = INT_MAX};

    (void)state;
    assert_int_equal(ivshmem_device_wait(device, 0, 0), 1);
    machine_alarm(5);
    assert_int_equal(ivshmem_device_wait(device, 0, -1), -EINTR);
    assert_int_equal(ivshmem_device_wait_for(device, 0, look, &found, -1), -EINTR);
    machine_alarm(0);
    ivshmem_device_close(device);
}

/* Whichever call fails, its error comes through and nothing stays open or changed. */
static void test_ioctl_faults(void **state)
{
    static const unsigned long requests[] = {
        VFIO_GROUP_SET_CONTAINER,    VFIO_SET_IOMMU,       VFIO_GROUP_GET_DEVICE_FD,
        VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_SET_IRQS,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        machine.fail_ioctl = requests[i];
        machine.fail_errno = EIO;
        assert_refused(-EIO, "Input/output error");
        assert_int_equal(command_register(), MACHINE_COMMAND);
    }
    machine.fail_ioctl = VFIO_GROUP_GET_STATUS;
    assert_refused(-EIO, "vfio says nothing of IOMMU group 5");
    machine.fail_ioctl = VFIO_CHECK_EXTENSION;
    assert_refused(-EOPNOTSUPP, "vfio_iommu_type1");
    machine.fail_ioctl = VFIO_SET_IOMMU;
    machine.fail_errno = EPERM;
    assert_refused(-EPERM, "intremap=on");
}

static void test_other_faults(void **state)
{
    (void)state;
    machine.fail_errno = ENOENT;
    machine.fail_open = "/dev/vfio/vfio";
    assert_refused(-ENOENT, "is the vfio module loaded?");
    machine.fail_open = "/dev/vfio/5";
    machine.fail_errno = EBUSY;
    assert_refused(-EBUSY, "another process has a device of this IOMMU group open");
    machine.fail_open = NULL;
    machine.not_viable = true;
    assert_refused(-EPERM, "another driver has a device of the same IOMMU group, 5");
    machine.not_viable = false;
    machine.irqs_result = 2; /* only two were to be had */
    assert_refused(-ENOSPC, "no interrupts left for 3 vectors");
    assert_int_equal(command_register(), MACHINE_COMMAND);
}

/* One call after the other fails, of all that open makes: it is undone, or, where something need
 * not be known, done. */
static void test_any_fault(void **state)
{
    unsigned n_failed = 0;

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, VFIO_DRIVER, true);
    machine.fail_errno = EMFILE;
    for (bool reached = true; reached;) {
        IvshmemDevice *device = NULL;
        int result;

        machine.log[0] = '\0';
        machine.fail_call++;
        machine.n_calls = 0;
        result = ivshmem_device_open(&device, MACHINE_ADDRESS, machine_options());
        reached = machine.n_calls >= machine.fail_call;
        assert_true((result == 0) == (device != NULL));
        n_failed += result < 0;
        if (result < 0)
            assert_non_null(strstr(machine.log, MACHINE_ADDRESS));
        ivshmem_device_close(device);
        assert_int_equal(command_register(), MACHINE_COMMAND);
        machine_add(MACHINE_ADDRESS, 1, VFIO_DRIVER, true);
    }
    /* container, group, 2 + 3 + 1 ioctls, 3 regions, 2 mappings, vectors and their ioctl */
    assert_true(n_failed >= 2 + 6 + 3 + 2 + MACHINE_N_VECTORS + 1);
}

static int n_eventfds; /* that can still be made */

static int scarce_eventfd(unsigned initial, int flags)
{
    if (n_eventfds-- <= 0) {
        errno = EMFILE;
        return -1;
    }
    return machine.real.eventfd(initial, flags);
}

static void *no_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    (void)addr, (void)len, (void)prot, (void)flags, (void)fd, (void)offset;
    errno = ENOMEM;
    return MAP_FAILED;
}

static void test_scarcity(void **state)
{
    (void)state;
    sys.eventfd = scarce_eventfd;
    for (int n = 0; n < MACHINE_N_VECTORS; n++) {
        n_eventfds = n;
        assert_refused(-EMFILE, "cannot make an eventfd");
        assert_int_equal(command_register(), MACHINE_COMMAND);
    }
    sys.mmap = no_mmap;
    assert_refused(-ENOMEM, "cannot map its registers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        machine_test(test_open),         machine_test(test_unmapped_registers),
        machine_test(test_wait),         machine_test(test_wait_for),
        machine_test(test_ioctl_faults), machine_test(test_other_faults),
        machine_test(test_scarcity),     machine_test(test_signal),
        machine_test(test_any_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
