/* SPDX-License-Identifier: MIT */
#include "device/config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/testing.h"

#define BASE 512 /* where the space starts in the fd, as a vfio region does */

static uint8_t space[256];

/* An fd that holds the space as it is now, cut off after some bytes. */
static Config open_space(size_t size)
{
    int fd = memfd_create("config", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, space, size, BASE), size);
    return (Config){.fd = fd, .base = BASE};
}

static int n_vectors(size_t size)
{
    Config config = open_space(size);
    int result = config_n_vectors(&config);

    (void)close(config.fd);
    return result;
}

static void test_registers(void **state)
{
    Config config;
    uint16_t value;

    (void)state;
    memset(space, 0, sizeof(space));
    space[CONFIG_COMMAND] = 0x06;
    space[CONFIG_COMMAND + 1] = 0x01;
    config = open_space(sizeof(space));
    assert_int_equal(config_read16(&config, CONFIG_COMMAND, &value), 0);
    assert_int_equal(value, 0x0106);
    assert_int_equal(config_write16(&config, CONFIG_COMMAND, 0x1234), 0);
    assert_int_equal(config_read16(&config, CONFIG_COMMAND, &value), 0);
    assert_int_equal(value, 0x1234);
    assert_int_equal(config_read16(&config, 255, &value), -EIO); /* half of it */
    assert_int_equal(config_read16(&config, 256, &value), -EIO);
    (void)close(config.fd);
    config.fd = -1;
    assert_int_equal(config_read16(&config, 0, &value), -EBADF);
    assert_int_equal(config_write16(&config, 0, 0), -EBADF);
}

static void test_vectors(void **state)
{
    (void)state;
    memset(space, 0, sizeof(space));
    assert_int_equal(n_vectors(256), 0); /* no capabilities */
    space[0x06] = 0x10;
    assert_int_equal(n_vectors(256), 0); /* an empty list */
    space[0x34] = 0x40;
    space[0x40] = 0x05; /* MSI, then */
    space[0x41] = 0x80;
    space[0x80] = 0x11; /* MSI-X */
    assert_int_equal(n_vectors(256), 1);
    space[0x82] = 0xff;
    space[0x83] = 0xff; /* enabled, masked, and the largest table */
    assert_int_equal(n_vectors(256), 2048);
    assert_int_equal(n_vectors(64), -EIO); /* sysfs shows no more to others than root */
}

static void test_loop(void **state)
{
    (void)state;
    memset(space, 0, sizeof(space));
    space[0x06] = 0x10;
    space[0x34] = 0x40;
    space[0x40] = 0x05;
    space[0x41] = 0x40;
    assert_int_equal(n_vectors(256), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
