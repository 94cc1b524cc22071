/* SPDX-License-Identifier: MIT */
/* Listeners: on a socket that the caller has made, which is used, left as it is, and quiet when it
 * goes; at their own limit; and how long a path is theirs. */
#include "ivshmem-server.h"
#include "util/address.h"
#include "util/cleanup.h"
#include "util/testing.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

typedef struct Place {
    char folder[32], path[48], lock[56];
    struct sockaddr_un address;
    int fd; /* listens at the path */
} Place;

static int make_place(void **state)
{
    static Place place;

    strcpy(place.folder, "/tmp/ivshmem-test-XXXXXX");
    if (!mkdtemp(place.folder))
        return -1;
    (void)snprintf(place.path, sizeof(place.path), "%s/socket", place.folder);
    (void)snprintf(place.lock, sizeof(place.lock), "%s.lock", place.path);
    *state = &place;
    place.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return address_of_path(place.path, &place.address) < 0 ||
                   bind(place.fd, (struct sockaddr *)&place.address, sizeof(place.address)) < 0
               ? -1
               : listen(place.fd, 1);
}

static int remove_place(void **state)
{
    const Place *place = *state;

    close(place->fd);
    (void)unlink(place->path);
    (void)unlink(place->lock);
    return rmdir(place->folder);
}

static int start(IvshmemServer *server, const char *path, int fd)
{
    IvshmemServerConfig config;

    ivshmem_server_config_init(&config);
    config.unix_sock_path = path;
    config.memory = IVSHMEM_SERVER_MEMORY_MEMFD;
    config.shm_size = 4096;
    config.socket_mode = 0600;
    config.socket_fd = fd;
    assert_int_equal(ivshmem_server_init_config(server, &config), 0);
    return ivshmem_server_start(server);
}

static int come(const Place *place)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&place->address, sizeof(place->address)),
                     0);
    return fd;
}

static void test_used_and_left(void **state)
{
    const Place *place = *state;
    IvshmemServer server;
    struct stat before, after;
    int client, n_fds = count_open_fds();

    assert_int_equal(chmod(place->path, 0640), 0);
    assert_int_equal(stat(place->path, &before), 0);
    assert_int_equal(start(&server, place->path, place->fd), 0);
    client = come(place);
    assert_int_equal(ivshmem_server_dispatch(&server), 0);
    assert_non_null(ivshmem_server_search_peer(&server, 0));
    close(client);
    ivshmem_server_close(&server);
    assert_int_equal(stat(place->path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_mode, after.st_mode);
    assert_int_equal(count_open_fds(), n_fds);
}

/* The descriptor that goes is a duplicate: its events must go too. */
static void test_quiet_when_it_goes(void **state)
{
    const Place *place = *state;
    IvshmemServer server;
    struct pollfd events = {.events = POLLIN};
    int client;

    assert_int_equal(start(&server, place->path, place->fd), 0);
    assert_int_equal(ivshmem_server_listener_remove(&server, 0, false), 0);
    client = come(place);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ivshmem_server_dispatch(&server), 0);
    events.fd = ivshmem_server_get_fd(&server);
    assert_int_equal(poll(&events, 1, 0), 0);
    assert_null(ivshmem_server_search_peer(&server, 0));
    close(client);
    ivshmem_server_close(&server);
}

static void test_refused(void **state)
{
    const Place *place = *state;
    _cleanup_close_ int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int unbound = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int packets = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const int wrong[] = {file, unbound, packets, 4000};
    int n_fds = count_open_fds();
    IvshmemServer server;
    char other[64];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(start(&server, place->path, wrong[i]), -EINVAL);
        assert_int_equal(count_open_fds(), n_fds);
    }
    (void)snprintf(other, sizeof(other), "%s/other", place->folder);
    assert_int_equal(start(&server, other, place->fd), -EINVAL);
    assert_non_null(strstr(ivshmem_server_error(&server), "it is bound to another path"));
    strcat(other, ".lock");
    assert_int_equal(unlink(other), 0);
    assert_int_equal(start(&server, place->path, place->fd), 0);
    ivshmem_server_close(&server);
}

/* What is wrong is found before anybody could connect: nothing is locked, let alone bound. */
static void test_checked_first(void **state)
{
    const Place *place = *state;
    static const struct {
        unsigned n_vectors;
        bool observers;
        int64_t reserved_id;
        int error;
    } wrong[] = {
        {2, false, -1, -ERANGE},
        {0, true, 1, -EINVAL},
        {0, false, 65536, -ERANGE},
        {0, false, 0, -EBUSY},
    };
    IvshmemServer server;
    char other[64], lock[80];
    int client;

    (void)snprintf(other, sizeof(other), "%s/other", place->folder);
    (void)snprintf(lock, sizeof(lock), "%s.lock", other);
    assert_int_equal(start(&server, place->path, place->fd), 0);
    client = come(place);
    assert_int_equal(ivshmem_server_dispatch(&server), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        IvshmemServerListenerConfig config;

        ivshmem_server_listener_config_init(&config);
        config.unix_sock_path = other;
        config.n_vectors = wrong[i].n_vectors;
        config.observers = wrong[i].observers;
        config.reserved_id = wrong[i].reserved_id;
        assert_int_equal(ivshmem_server_listener_add(&server, &config), wrong[i].error);
        assert_int_equal(access(other, F_OK), -1);
        assert_int_equal(access(lock, F_OK), -1);
    }
    close(client);
    ivshmem_server_close(&server);
}

static void dispatch_some(IvshmemServer *server)
{
    for (int i = 0; i < 10; i++)
        assert_int_equal(ivshmem_server_dispatch(server), 0);
}

/* Whoever waits for the one client of a reserved identity to leave comes in when it has left. */
static void test_reserved_identity_at_its_limit(void **state)
{
    const Place *place = *state;
    IvshmemServerListenerConfig config;
    IvshmemServerConfig region;
    IvshmemServerListenerInfo info;
    IvshmemServer server;
    int first, second;

    ivshmem_server_config_init(&region);
    region.unix_sock_path = NULL;
    region.memory = IVSHMEM_SERVER_MEMORY_MEMFD;
    region.shm_size = 4096;
    assert_int_equal(ivshmem_server_init_config(&server, &region), 0);
    assert_int_equal(ivshmem_server_start(&server), 0);
    ivshmem_server_listener_config_init(&config);
    config.unix_sock_path = place->path;
    config.socket_fd = place->fd;
    config.reserved_id = 3;
    config.max_clients = 1;
    assert_int_equal(ivshmem_server_listener_add(&server, &config), 0);
    first = come(place);
    dispatch_some(&server);
    second = come(place);
    dispatch_some(&server);
    assert_int_equal(ivshmem_server_listener_info(&server, 0, &info), 0);
    assert_int_equal(info.n_joins, 1);
    assert_int_equal(info.n_refusals, 0);
    close(first);
    dispatch_some(&server);
    assert_int_equal(ivshmem_server_listener_info(&server, 0, &info), 0);
    assert_int_equal(info.n_joins, 2);
    close(second);
    ivshmem_server_close(&server);
}

/* Whoever gets the path next may use an object of the same name: it must not be removed then. */
static void test_memory_goes_before_the_path(void **state)
{
    const Place *place = *state;
    _cleanup_close_ int events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    union {
        struct inotify_event first;
        char bytes[8192];
    } read_events;
    char path[64], name[32], gone[256] = "";
    IvshmemServer server;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "%s/own", place->folder);
    (void)snprintf(name, sizeof(name), "%s", strrchr(place->folder, '/') + 1);
    assert_int_equal(ivshmem_server_init(&server, path, name, true, 4096, 1, false), 0);
    assert_int_equal(ivshmem_server_start(&server), 0);
    assert_true(inotify_add_watch(events, "/dev/shm", IN_DELETE) >= 0);
    assert_true(inotify_add_watch(events, place->folder, IN_DELETE) >= 0);
    ivshmem_server_close(&server);
    n = read(events, read_events.bytes, sizeof(read_events));
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(read_events.bytes + at);

        if (strcmp(event->name, name) == 0 || strcmp(event->name, "own") == 0)
            (void)snprintf(gone + strlen(gone), sizeof(gone) - strlen(gone), "%s ", event->name);
        at += (ssize_t)(sizeof(*event) + event->len);
    }
    strcat(name, " own ");
    assert_string_equal(gone, name);
    strcat(path, ".lock");
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_used_and_left, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_quiet_when_it_goes, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_refused, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_checked_first, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_reserved_identity_at_its_limit, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(test_memory_goes_before_the_path, make_place, remove_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
