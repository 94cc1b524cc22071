/* SPDX-License-Identifier: MIT */
/* A client of a server that does all it should: peers, memory, the end of the set-up. */
#include "client/fake-server.h"

#include <errno.h>

static void test_init(void **state)
{
    IvshmemClient *client = &((Fake *)*state)->client;
    char path[109];

    memset(path, 'x', sizeof(path));
    path[108] = 0;
    assert_int_equal(ivshmem_client_init(client, path, NULL, NULL, false), -ENAMETOOLONG);
    assert_int_equal(ivshmem_client_init(client, "", NULL, NULL, false), -EINVAL);
    path[107] = 0;
    assert_int_equal(ivshmem_client_init(client, path, NULL, NULL, false), 0);
    assert_string_equal(client->unix_sock_path, path);
    assert_int_equal(client->sock_fd, -1);
    assert_int_equal(client->shm_fd, -1);
    assert_int_equal(client->local.id, -1);

    assert_int_equal(ivshmem_client_dispatch(client), -ENOTCONN);
    assert_int_equal(ivshmem_client_get_fd(client), -ENOTCONN);
    assert_int_equal(ivshmem_client_wait_ready(client, 0), -ENOTCONN);
    assert_int_equal(ivshmem_client_wait(client, 0, 0), -ERANGE);
    assert_null(ivshmem_client_search_peer(client, 0));
    assert_int_equal(ivshmem_client_notify_broadcast(client), 0);
    ivshmem_client_close(client);
}

static void test_connect(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;

    fake_connect(fake);
    assert_int_equal(client->local.id, 0);
    assert_true(client->shm_fd >= 0 && client->sock_fd >= 0);
    assert_false(ivshmem_client_is_ready(client));
    assert_ptr_equal(ivshmem_client_search_peer(client, 0), &client->local);
    assert_int_equal(ivshmem_client_connect_timeout(client, 0), -EISCONN);
    assert_int_equal(ivshmem_client_connect_fd(client, dup(fake->sock), 0), -EISCONN);
    assert_string_equal(ivshmem_client_error(client), "");
}

static void test_close_and_connect_again(void **state)
{
    Fake *fake = *state;
    int ends[2];

    fake_connect(fake);
    fake_send_vectors(fake, 4, 2);
    fake_send_vectors(fake, 0, 2);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), 0);
    fake_expect(fake, "+4:2 ");
    ivshmem_client_close(&fake->client);
    assert_null(fake->client.peer_list.first);
    assert_int_equal(fake->client.peer_list.count, 0);
    assert_int_equal(fake->client.local.vectors_count, 0);

    fake_hang_up(fake);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fake->sock = ends[0];
    fake_send_start(fake, 4);
    assert_int_equal(ivshmem_client_connect_fd(&fake->client, ends[1], FAKE_WAIT_MS), 0);
    assert_int_equal(fake->client.local.id, 4);
    assert_false(ivshmem_client_is_ready(&fake->client));
}

static void test_memory(void **state)
{
    Fake *fake = *state;
    void *memory = NULL;
    size_t size = 1;

    assert_int_equal(ivshmem_client_map(&fake->client, true, 0, &memory, &size), -ENOTCONN);
    fake_connect(fake);
    assert_int_equal(ivshmem_client_map(&fake->client, true, FAKE_MEMORY_SIZE + 1, &memory, &size),
                     -ERANGE);
    assert_null(memory);
    assert_int_equal(size, 1);
    assert_int_equal(ivshmem_client_map(&fake->client, true, FAKE_MEMORY_SIZE, &memory, &size), 0);
    assert_int_equal(size, FAKE_MEMORY_SIZE);
    memcpy((char *)memory + 8000, "hello", 5);
    assert_int_equal(munmap(memory, size), 0);
    assert_int_equal(ivshmem_client_map(&fake->client, false, 0, &memory, &size), 0);
    assert_memory_equal((char *)memory + 8000, "hello", 5);
    assert_int_equal(munmap(memory, size), 0);
    assert_int_equal(ftruncate(fake->memory, 0), 0);
    assert_int_equal(ivshmem_client_map(&fake->client, true, 0, &memory, &size), -ENODATA);
    assert_string_equal(ivshmem_client_error(&fake->client), "cannot map the memory: it is empty");
}

static void test_read_only_memory(void **state)
{
    Fake *fake = *state;
    char path[64];
    void *memory;
    size_t size;
    int writable = fake->memory;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", writable);
    fake->memory = open(path, O_RDONLY | O_CLOEXEC);
    fake_connect(fake);
    fd_close(writable);
    assert_int_equal(ivshmem_client_map(&fake->client, true, 0, &memory, &size), -EACCES);
    assert_int_equal(ivshmem_client_map(&fake->client, false, 0, &memory, &size), 0);
    assert_int_equal(munmap(memory, size), 0);
}

/* Peers come and go; the list keeps the order of arrival, and an ID may come back. */
static void test_peers(void **state)
{
    Fake *fake = *state;
    IvshmemClient *client = &fake->client;
    const IvshmemClientPeer *peer;
    char order[64] = "";

    fake_connect(fake);
    fake_send_vectors(fake, 9, 2);
    fake_send_vectors(fake, 65535, 2);
    fake_send_vectors(fake, 3, 2);
    fake_send_vectors(fake, 0, 2);
    assert_int_equal(ivshmem_client_wait_ready(client, FAKE_WAIT_MS), 0);
    fake_expect(fake, "+9:2 +65535:2 +3:2 ");
    assert_int_equal(client->local.vectors_count, 2);
    assert_int_equal(client->peer_list.count, 3);

    fake_send(fake, 65535, -1);
    fake_send_vectors(fake, 1, 2);
    fake_send(fake, 9, -1);
    fake_send_vectors(fake, 9, 2);
    assert_int_equal(fake_dispatch(fake), 0);
    fake_expect(fake, "-65535 +1:2 -9 +9:2 ");
    IVSHMEM_CLIENT_FOREACH_PEER(peer, client)
        (void)snprintf(order + strlen(order), sizeof(order) - strlen(order), "%lld ",
                       (long long)peer->id);
    assert_string_equal(order, "3 1 9 ");
    assert_null(ivshmem_client_search_peer(client, 65535));
    assert_null(ivshmem_client_search_peer(client, 65536));
    assert_null(ivshmem_client_search_peer(client, -1));
    assert_int_equal(ivshmem_client_search_peer(client, 9)->id, 9);
}

/* A peer that goes before its vectors were all there: nobody hears of it. */
static void test_peer_that_turns_back(void **state)
{
    Fake *fake = *state;

    fake_connect(fake);
    fake_send_vectors(fake, 0, 4);
    fake_send_vectors(fake, 5, 3);
    fake_send(fake, 5, -1);
    fake_send_vectors(fake, 6, 4);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_true(ivshmem_client_is_ready(&fake->client));
    fake_expect(fake, "+6:4 ");
    assert_null(ivshmem_client_search_peer(&fake->client, 5));
}

static void test_ready_by_number(void **state)
{
    Fake *fake = *state;

    ivshmem_client_set_vectors(&fake->client, 3);
    fake_connect(fake);
    fake_send_vectors(fake, 0, 2);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, 0), -ETIMEDOUT);
    fake_send_vectors(fake, 0, 1);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_true(ivshmem_client_is_ready(&fake->client));
    fake_send_vectors(fake, 0, 1);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_int_equal(fake->client.local.vectors_count, 4);
}

static void test_ready_by_comparison(void **state)
{
    Fake *fake = *state;

    fake_connect(fake);
    fake_send_vectors(fake, 1, 1);
    fake_send_vectors(fake, 2, 3);
    fake_send_vectors(fake, 0, 2);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_false(ivshmem_client_is_ready(&fake->client));
    fake_expect(fake, "+1:1 +2:3 ");
    fake_send_vectors(fake, 0, 1);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_true(ivshmem_client_is_ready(&fake->client));
}

static void test_ready_by_what_follows(void **state)
{
    Fake *fake = *state;

    fake_connect(fake);
    fake_send_vectors(fake, 1, 3);
    fake_send_vectors(fake, 0, 2);
    fake_send_vectors(fake, 2, 1);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_true(ivshmem_client_is_ready(&fake->client));
    fake_expect(fake, "+1:3 ");
}

/* Alone, there is nothing to go by but the quiet. */
static void test_ready_when_quiet(void **state)
{
    Fake *fake = *state;

    fake_connect(fake);
    fake_send_vectors(fake, 0, 2);
    assert_int_equal(fake_dispatch(fake), 0);
    assert_false(ivshmem_client_is_ready(&fake->client));
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), 0);
    assert_int_equal(fake->client.local.vectors_count, 2);
}

/* A server that gives us no vectors, and a peer that gets fewer than we have: it takes longer. */
static void test_ready_when_stalled(void **state)
{
    Fake *fake = *state;

    fake_connect(fake);
    fake_send_vectors(fake, 1, 2);
    assert_int_equal(ivshmem_client_wait_ready(&fake->client, FAKE_WAIT_MS), 0);
    fake_expect(fake, "+1:2 ");
    assert_int_equal(fake->client.local.vectors_count, 0);
}

static void test_most_vectors(void **state)
{
    Fake *fake = *state;

    fake_connect(fake);
    for (unsigned vector = 0; vector < IVSHMEM_CLIENT_MAX_VECTORS; vector++) {
        fake_send_vectors(fake, 0, 1);
        assert_int_equal(fake_dispatch(fake), 0);
    }
    assert_true(ivshmem_client_is_ready(&fake->client));
    assert_int_equal(ivshmem_client_notify(&fake->client, &fake->client.local, 2047), 0);
    assert_int_equal(ivshmem_client_notify(&fake->client, &fake->client.local, 2048), -ERANGE);
}

/* Every message in two pieces, with the descriptor beside the first or the second. */
static void test_pieces(void **state)
{
    Fake *fake = *state;
    uint8_t bytes[WIRE_MESSAGE_SIZE];

    ivshmem_client_set_vectors(&fake->client, WIRE_MESSAGE_SIZE - 1);
    fake_connect(fake);
    wire_encode(bytes, 0x0102);
    for (size_t cut = 1; cut < sizeof(bytes); cut++) {
        bool first = cut % 2;

        assert_true(fdpass_send(fake->sock, bytes, cut, &fake->event, first) > 0);
        assert_int_equal(fake_dispatch(fake), 0);
        assert_true(fdpass_send(fake->sock, bytes + cut, 8 - cut, &fake->event, !first) > 0);
        assert_int_equal(fake_dispatch(fake), 0);
    }
    fake_expect(fake, "+258:7 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_init, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_connect, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_close_and_connect_again, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_memory, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_read_only_memory, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_peers, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_peer_that_turns_back, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_ready_by_number, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_ready_by_comparison, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_ready_by_what_follows, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_ready_when_quiet, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_ready_when_stalled, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_most_vectors, fake_setup, fake_teardown),
        cmocka_unit_test_setup_teardown(test_pieces, fake_setup, fake_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
