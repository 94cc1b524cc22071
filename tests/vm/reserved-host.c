/* SPDX-License-Identifier: MIT */
/*
 * reserved-host FOLDER ID: a server of 64 KiB and 2 vectors with the sockets FOLDER/socket, for
 * anybody, and FOLDER/reserved, for the one client that has this ID. It says "ready" and serves
 * until it is killed.
 */
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "ivshmem-server.h"

int main(int argc, char **argv)
{
    static IvshmemServer server;
    IvshmemServerListenerConfig reserved;
    char socket[PATH_MAX], second[PATH_MAX];
    struct pollfd poll_fd = {.events = POLLIN};

    if (argc != 3)
        return EXIT_FAILURE;
    (void)snprintf(socket, sizeof(socket), "%s/socket", argv[1]);
    (void)snprintf(second, sizeof(second), "%s/reserved", argv[1]);
    ivshmem_server_listener_config_init(&reserved);
    reserved.unix_sock_path = second;
    reserved.reserved_id = atoi(argv[2]);
    if (ivshmem_server_init(&server, socket, argv[1], false, 65536, 2, false) < 0 ||
        ivshmem_server_start(&server) < 0 || ivshmem_server_listener_add(&server, &reserved) < 0) {
        (void)fprintf(stderr, "%s\n", ivshmem_server_error(&server));
        return EXIT_FAILURE;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    poll_fd.fd = ivshmem_server_get_fd(&server);
    while (poll(&poll_fd, 1, -1) >= 0 && ivshmem_server_dispatch(&server) == 0)
        continue;
    return EXIT_FAILURE;
}
