/* SPDX-License-Identifier: MIT */
/* A port over a device: what ivshmem-port.h promises, on a machine that is a folder. */
#include "device/testing-machine.h"

#include "ivshmem-port.h"

static IvshmemPortOptions options_here(void)
{
    return (IvshmemPortOptions){.root = machine.root, .log = machine_log};
}

static IvshmemPort *open_port(const char *uri)
{
    const IvshmemPortOptions options = options_here();
    IvshmemPort *port = NULL;

    assert_int_equal(ivshmem_port_open(&port, uri, &options), 0);
    return port;
}

static int refusal(const char *uri)
{
    const IvshmemPortOptions options = options_here();
    IvshmemPort *port = NULL;
    int result = ivshmem_port_open(&port, uri, &options);

    assert_null(port);
    return result;
}

static void test_what_it_is(void **state)
{
    static const char *const uris[] = {"pci:auto", "pci:0", ("pci:" MACHINE_ADDRESS),
                                       "pci:00:03.0"};

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "vfio-pci", true);
    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
        IvshmemPort *port = open_port(uris[i]);

        assert_string_equal(ivshmem_port_name(port), "pci:" MACHINE_ADDRESS);
        assert_int_equal(ivshmem_port_id(port), MACHINE_ID);
        assert_int_equal(ivshmem_port_n_vectors(port), MACHINE_N_VECTORS);
        assert_int_equal(ivshmem_port_memory_size(port), MACHINE_MEMORY);
        assert_non_null(ivshmem_port_memory(port));
        assert_true(ivshmem_port_has_interrupts(port));
        assert_int_equal(ivshmem_port_news_fd(port), -EOPNOTSUPP);
        assert_int_equal(ivshmem_port_dispatch(port), 0);
        assert_int_equal(ivshmem_port_peers(port, NULL, 0), -EOPNOTSUPP);
        ivshmem_port_close(port);
    }
}

static void test_doorbells(void **state)
{
    const uint64_t one = 1;
    IvshmemPort *port;
    uint32_t doorbell;

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "vfio-pci", true);
    port = open_port("pci:auto");
    assert_int_equal(ivshmem_port_ring(port, 3, 1), 0);
    machine_get("vfio-device", MACHINE_BAR0_AT + 12, &doorbell, 4);
    assert_int_equal(le32toh(doorbell), 0x00030001);
    assert_int_equal(ivshmem_port_ring(port, 65536, 0), -EINVAL);
    assert_int_equal(ivshmem_port_ring(port, 0, 65536), -EINVAL);

    assert_int_equal(ivshmem_port_wait(port, 1, 0), 1); /* the first, at once */
    assert_int_equal(ivshmem_port_wait(port, 1, 0), 0);
    assert_int_equal(ivshmem_port_vector_fd(port, 1), machine.vectors[1]);
    assert_int_equal(write(machine.vectors[1], &one, sizeof(one)), sizeof(one));
    assert_int_equal(ivshmem_port_wait(port, 1, -1), 1);
    assert_int_equal(ivshmem_port_wait(port, MACHINE_N_VECTORS, 0), -EINVAL);
    assert_int_equal(ivshmem_port_vector_fd(port, MACHINE_N_VECTORS), -EINVAL);
    ivshmem_port_close(port);
}

static bool look_twice(void *opaque)
{
    return ++*(int *)opaque == 2;
}

static void test_without_interrupts(void **state)
{
    IvshmemPort *port;
    int looks = 0;

    (void)state;
    machine_add(MACHINE_ADDRESS, 1, "", false);
    port = open_port("pci:auto");
    assert_false(ivshmem_port_has_interrupts(port));
    assert_int_equal(ivshmem_port_wait(port, 0, 0), -EOPNOTSUPP);
    assert_int_equal(ivshmem_port_vector_fd(port, 0), -EOPNOTSUPP);
    assert_int_equal(ivshmem_port_wait_for(port, 0, look_twice, &looks, -1), 1);
    ivshmem_port_close(port);
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(refusal("pci:auto"), -ENODEV);
    machine_add(MACHINE_ADDRESS, 1, "e1000", true);
    assert_int_equal(refusal("pci:auto"), -EBUSY);
    assert_int_equal(refusal("pci:1"), -ENODEV);
    assert_int_equal(refusal("pci:"), -EINVAL);
    assert_int_equal(refusal("pci:here"), -EINVAL);
    assert_int_equal(refusal("pci"), -EINVAL);
    assert_int_equal(refusal("/tmp/ivshmem_socket"), -EINVAL);
    assert_non_null(strstr(machine.log, "'/tmp/ivshmem_socket' is no port: it is unix:PATH"));
    assert_int_equal(refusal(""), -EINVAL);
    ivshmem_port_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        machine_test(test_what_it_is),
        machine_test(test_doorbells),
        machine_test(test_without_interrupts),
        machine_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
