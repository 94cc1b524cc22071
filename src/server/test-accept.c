/* SPDX-License-Identifier: MIT */
/* Who comes while the server has much to do for others is served in the same turn of the loop. And
 * the name of who is refused again and again is not read each time. */
#include "ivshmem-server.h"
#include "server/credentials.h"
#include "util/address.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/sys.h"
#include "util/testing.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#define N_OTHERS 40 /* more than a turn sets up, or hears of */
#define SET_UP   24 /* bytes: version, ID, memory */

typedef struct Place {
    char folder[32], one[48], other[48];
    IvshmemServer server;
    int others[N_OTHERS], newcomer;
    int n_eventfds;
} Place;

static Place place;

static int connect_to(const char *path)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(address_of_path(path, &address), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Two listeners: who waits at one does not wait for those at the other. */
static int start(void **state)
{
    IvshmemServerListenerConfig listener;
    IvshmemServerConfig config;

    (void)state;
    place = (Place){.newcomer = -1};
    strcpy(place.folder, "/tmp/ivshmem-test-XXXXXX");
    if (!mkdtemp(place.folder))
        return -1;
    (void)snprintf(place.one, sizeof(place.one), "%s/one", place.folder);
    (void)snprintf(place.other, sizeof(place.other), "%s/other", place.folder);
    ivshmem_server_config_init(&config);
    config.unix_sock_path = place.one;
    config.memory = IVSHMEM_SERVER_MEMORY_MEMFD;
    config.shm_size = 4096;
    if (ivshmem_server_init_config(&place.server, &config) < 0 ||
        ivshmem_server_start(&place.server) < 0)
        return -1;
    ivshmem_server_listener_config_init(&listener);
    listener.unix_sock_path = place.other;
    for (int i = 0; i < N_OTHERS; i++)
        place.others[i] = connect_to(place.one);
    return ivshmem_server_listener_add(&place.server, &listener) < 0 ? -1 : 0;
}

static int stop(void **state)
{
    char lock[64];

    (void)state;
    sys.eventfd = eventfd;
    for (int i = 0; i < N_OTHERS; i++)
        place.others[i] = fd_close(place.others[i]);
    place.newcomer = fd_close(place.newcomer);
    ivshmem_server_close(&place.server);
    (void)snprintf(lock, sizeof(lock), "%s.lock", place.one);
    (void)unlink(lock);
    (void)snprintf(lock, sizeof(lock), "%s.lock", place.other);
    (void)unlink(lock);
    return rmdir(place.folder);
}

static bool is_set_up(int fd)
{
    int n = 0;

    return fd >= 0 && ioctl(fd, FIONREAD, &n) == 0 && n >= SET_UP;
}

static unsigned count_set_up(void)
{
    unsigned n = 0;

    for (int i = 0; i < N_OTHERS; i++)
        n += is_set_up(place.others[i]);
    return n;
}

/* The third set-up of the turn is about to be made. */
static int come_meanwhile(unsigned initial, int flags)
{
    if (++place.n_eventfds == 3)
        place.newcomer = connect_to(place.other);
    return eventfd(initial, flags);
}

static void test_between_two_set_ups(void **state)
{
    (void)state;
    sys.eventfd = come_meanwhile;
    assert_int_equal(ivshmem_server_dispatch(&place.server), 0);
    assert_true(is_set_up(place.newcomer));
    assert_in_range(count_set_up(), 3, N_OTHERS - 1);
}

static void test_behind_many_hang_ups(void **state)
{
    (void)state;
    for (int i = 0; i < 100 && count_set_up() < N_OTHERS; i++)
        assert_int_equal(ivshmem_server_dispatch(&place.server), 0);
    assert_int_equal(count_set_up(), N_OTHERS);
    for (int i = 0; i < N_OTHERS; i++)
        place.others[i] = fd_close(place.others[i]);
    place.newcomer = connect_to(place.other);
    assert_int_equal(ivshmem_server_dispatch(&place.server), 0);
    assert_true(is_set_up(place.newcomer));
}

static void test_name_is_remembered(void **state)
{
    CommandMemory memory = {0};

    (void)state;
    assert_int_equal(prctl(PR_SET_NAME, "one"), 0);
    assert_string_equal(credentials_command_again(&memory, getpid()), "one");
    assert_int_equal(prctl(PR_SET_NAME, "other"), 0);
    memory.read_at = deadline_now() + 1000000000;
    assert_string_equal(credentials_command_again(&memory, getpid()), "one");
    assert_string_equal(credentials_command_again(&memory, 0), "?");
    assert_string_equal(credentials_command_again(&memory, getpid()), "other");
    assert_int_equal(prctl(PR_SET_NAME, "third"), 0);
    memory.read_at = deadline_now() - 1000000000;
    assert_string_equal(credentials_command_again(&memory, getpid()), "third");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_between_two_set_ups, start, stop),
        cmocka_unit_test_setup_teardown(test_behind_many_hang_ups, start, stop),
        cmocka_unit_test(test_name_is_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
