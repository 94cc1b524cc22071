/* SPDX-License-Identifier: MIT */
/*
 * client SOCKET PEER FOLDER: the client library by what its header says, and the device library
 * where there is no device: FOLDER is empty. PEER is the only other peer, with 2 vectors as we
 * have. Prints one line each that is wrong.
 */
#include "check.h"
#include "ivshmem-client.h"
#include "ivshmem-device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int n_rings, n_peers;

static void on_ring(const IvshmemClient *client, const IvshmemClientPeer *peer, unsigned vector,
                    void *opaque)
{
    check("ourselves", peer == &client->local, 1);
    check("the vector", vector, 1);
    check("opaque", opaque == &n_rings, 1);
    n_rings++;
}

static void on_peer(const IvshmemClient *client, const IvshmemClientPeer *peer, void *opaque)
{
    check("another", peer != &client->local && peer->vectors_count == 2, 1);
    check("opaque", opaque == &n_peers, 1);
    n_peers++;
}

static void check_unconnected(IvshmemClient *client)
{
    fd_set fds;
    int maxfd = 0;

    FD_ZERO(&fds);
    check("fd", ivshmem_client_get_fd(client), -ENOTCONN);
    check("dispatch", ivshmem_client_dispatch(client), -ENOTCONN);
    check("ready", ivshmem_client_is_ready(client), 0);
    check("wait ready", ivshmem_client_wait_ready(client, 0), -ENOTCONN);
    check("wait", ivshmem_client_wait(client, 0, 0), -ERANGE);
    check("map", ivshmem_client_map(client, true, 0, NULL, NULL), -ENOTCONN);
    check("nobody", ivshmem_client_notify(client, NULL, 0), -ENOENT);
    check("nobody's vectors", ivshmem_client_notify_all_vects(client, NULL), -ENOENT);
    check("no others", ivshmem_client_notify_broadcast(client), 0);
    check("no peer", ivshmem_client_search_peer(client, 0) != NULL, 0);
    ivshmem_client_get_fds(client, &fds, &maxfd);
    check("no fd", maxfd, 0);
    check("fds", ivshmem_client_handle_fds(client, &fds, maxfd), -ENOTCONN);
    ivshmem_client_close(client);
}

static void check_connects(IvshmemClient *client)
{
    check("connect", ivshmem_client_connect_timeout(client, 10000), 0);
    check("again", ivshmem_client_connect(client), -EISCONN);
    check("from a socket", ivshmem_client_connect_fd(client, -1, 0), -EISCONN);
    check("no error", *ivshmem_client_error(client), 0);
    check("set up", ivshmem_client_wait_ready(client, 10000), 0);
    check("ready", ivshmem_client_is_ready(client), 1);
    check("peers", n_peers, 1);
    check("lines", n_lines > 0, 1);
}

static void check_memory(IvshmemClient *client)
{
    void *memory = NULL;
    size_t size = 0;

    check("too small", ivshmem_client_map(client, true, 1 << 20, &memory, &size), -ERANGE);
    check("untouched", memory == NULL && size == 0, 1);
    check("in words", *ivshmem_client_error(client) != 0, 1);
    check("map", ivshmem_client_map(client, true, 65536, &memory, &size), 0);
    check("size", (long)size, 65536);
    memcpy(memory, "from the program", 16);
    check("unmap", munmap(memory, size), 0);
}

/* All of the peer's vectors are rung, and the last of ours. */
static void check_rings(IvshmemClient *client, int64_t id)
{
    const IvshmemClientPeer *peer = ivshmem_client_search_peer(client, id), *each;
    unsigned n = 0;

    check("ourselves", ivshmem_client_search_peer(client, client->local.id) == &client->local, 1);
    check("no such ID", ivshmem_client_search_peer(client, 65536) == NULL, 1);
    check("no such vector", ivshmem_client_notify(client, peer, 2), -ERANGE);
    check("a vector", ivshmem_client_notify(client, peer, 0), 0);
    ivshmem_client_set_wary(client, true);
    check("all of his", ivshmem_client_notify_all_vects(client, peer), 0);
    ivshmem_client_set_wary(client, false);
    check("all of all", ivshmem_client_notify_broadcast(client), 0);
    check("ours", ivshmem_client_notify(client, &client->local, 1), 0);
    IVSHMEM_CLIENT_FOREACH_PEER(each, client)
        n++;
    check("others", n, 1);
}

static void check_select(IvshmemClient *client)
{
    fd_set fds;
    int maxfd = 0;

    FD_ZERO(&fds);
    ivshmem_client_get_fds(client, &fds, &maxfd);
    check("one fd", maxfd, ivshmem_client_get_fd(client) + 1);
    check("select", select(maxfd, &fds, NULL, NULL, NULL), 1);
    check("handle", ivshmem_client_handle_fds(client, &fds, maxfd), 0);
    check("rings", n_rings, 1);
}

static void check_no_device(const char *folder)
{
    IvshmemDeviceOptions options;
    IvshmemDevice *device = NULL;
    IvshmemDeviceInfo info;

    memset(&options, 0, sizeof(options));
    options.root = folder;
    options.log = count_line;
    options.opaque = &n_lines;
    n_lines = 0;
    check("no devices", ivshmem_device_list(&options, &info, 1), 0);
    check("the first", ivshmem_device_open(&device, NULL, &options), -ENODEV);
    check("by number", ivshmem_device_open(&device, "0", &options), -ENODEV);
    check("by address", ivshmem_device_open(&device, "00:03.0", &options), -ENODEV);
    check("neither", ivshmem_device_open(&device, "first", &options), -EINVAL);
    check("bind", ivshmem_device_bind("0", &options), -ENODEV);
    check("bind neither", ivshmem_device_bind("first", &options), -EINVAL);
    check("unbind", ivshmem_device_unbind("0", &options), -ENODEV);
    check("untouched", device == NULL, 1);
    check("each says why", n_lines, 7);
    ivshmem_device_close(NULL);
}

int main(int argc, char **argv)
{
    static IvshmemClient client;

    if (argc != 4)
        return EXIT_FAILURE;
    check("no path", ivshmem_client_init(&client, "", NULL, NULL, false), -EINVAL);
    check("init", ivshmem_client_init(&client, argv[1], on_ring, &n_rings, false), 0);
    ivshmem_client_set_vectors(&client, 2);
    ivshmem_client_set_peer_callbacks(&client, on_peer, on_peer, &n_peers);
    ivshmem_client_set_log(&client, count_line, &n_lines);
    check_unconnected(&client);
    check_connects(&client);
    check_memory(&client);
    check_rings(&client, atoi(argv[2]));
    check_select(&client);
    ivshmem_client_close(&client);
    check_unconnected(&client);
    check_no_device(argv[3]);
    return n_wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
