/* SPDX-License-Identifier: MIT */
/* What the library refuses, with which error, and that it says why: one line each that is wrong. */
#include "check.h"
#include "ivshmem-server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prepares a server with values of which one may be wrong, over storage full of rubbish. */
static int prepare(const char *path, const char *name, size_t size, unsigned n_vectors)
{
    IvshmemServer server;
    int r;

    memset(&server, 0xa5, sizeof(server));
    r = ivshmem_server_init(&server, path, name, true, size, n_vectors, false);
    check("a text for each error", r < 0, *ivshmem_server_error(&server) != '\0');
    check("one line", strchr(ivshmem_server_error(&server), '\n') == NULL, 1);
    check("no fd", ivshmem_server_get_fd(&server), -1);
    check("not started", ivshmem_server_dispatch(&server), -ENOTCONN);
    check("no peer", ivshmem_server_search_peer(&server, 0) == NULL, 1);
    check("no clients", (int)ivshmem_server_max_clients(&server), 0);
    check("no IDs", (int)ivshmem_server_ids_left(&server), 0);
    ivshmem_server_close(&server);
    return r;
}

static void check_init(void)
{
    static char path[8192];

    check("all is well", prepare("/tmp/x", "x", 4096, 1), 0);
    check("most vectors", prepare("/tmp/x", "x", 4096, IVSHMEM_SERVER_MAX_VECTORS), 0);
    check("one too many", prepare("/tmp/x", "x", 4096, IVSHMEM_SERVER_MAX_VECTORS + 1), -ERANGE);
    check("no vectors", prepare("/tmp/x", "x", 4096, 0), -EINVAL);
    check("size 0", prepare("/tmp/x", "x", 0, 1), -EINVAL);
    check("largest size", prepare("/tmp/x", "x", ((size_t)1 << 63) + 1, 1), -ERANGE);
    check("no path", prepare("", "x", 4096, 1), -EINVAL);
    check("no name", prepare("/tmp/x", "", 4096, 1), -EINVAL);
    check("NULL as the name", prepare("/tmp/x", NULL, 4096, 1), -EINVAL);
    memset(path, 'x', 107);
    check("longest path", prepare(path, "x", 4096, 1), 0);
    path[107] = 'x';
    check("too long a path", prepare(path, "x", 4096, 1), -ENAMETOOLONG);
    memset(path, 'x', PATH_MAX);
    check("too long a name", prepare("/tmp/x", path, 4096, 1), -ENAMETOOLONG);
}

static int prepare_memory(int kind, uint64_t huge_page_size)
{
    IvshmemServerConfig config;
    IvshmemServer server;
    int r;

    ivshmem_server_config_init(&config);
    config.memory = (IvshmemServerMemory)kind;
    config.huge_page_size = huge_page_size;
    r = ivshmem_server_init_config(&server, &config);
    check("a text for each error", r < 0, *ivshmem_server_error(&server) != '\0');
    return r;
}

static void check_memory(void)
{
    check("default memory", prepare_memory(IVSHMEM_SERVER_MEMORY_POSIX, 0), 0);
    check("unknown memory", prepare_memory(IVSHMEM_SERVER_MEMORY_MEMFD + 1, 0), -EINVAL);
    check("huge pages", prepare_memory(IVSHMEM_SERVER_MEMORY_MEMFD, 2 << 20), 0);
    check("odd huge pages", prepare_memory(IVSHMEM_SERVER_MEMORY_MEMFD, 3 << 20), -EINVAL);
    check("huge pages of a byte", prepare_memory(IVSHMEM_SERVER_MEMORY_MEMFD, 1), -EINVAL);
    check("named huge pages", prepare_memory(IVSHMEM_SERVER_MEMORY_POSIX, 2 << 20), -EINVAL);
}

static int start_in(const char *folder, const char *socket, const char *name, size_t size)
{
    char path[256];
    IvshmemServer server;
    int r;

    snprintf(path, sizeof(path), "%s/%s", folder, socket);
    r = ivshmem_server_init(&server, path, name, true, size, 1, false);
    if (r == 0)
        r = ivshmem_server_start(&server);
    check("a text for each error", r < 0, *ivshmem_server_error(&server) != '\0');
    check("fds", server.sock_fd >= 0, r == 0);
    ivshmem_server_close(&server);
    return r;
}

/* The folder has a file, and shared memory of that name is somebody's. */
static void check_start(const char *folder, const char *name)
{
    char path[256];
    IvshmemServer server;

    snprintf(path, sizeof(path), "%s/socket", folder);
    check("init", ivshmem_server_init(&server, path, "x/y", true, 4096, 1, false), 0);
    check("bad name", ivshmem_server_start(&server), -EINVAL);
    check("bad name again", ivshmem_server_start(&server), -EINVAL);
    check("init", ivshmem_server_init(&server, path, folder, false, 4096, 1, false), 0);
    check("start", ivshmem_server_start(&server), 0);
    check("start twice", ivshmem_server_start(&server), -EALREADY);
    check("live path", start_in(folder, "socket", name, 4096), -EADDRINUSE);
    ivshmem_server_close(&server);
    check("dead path", start_in(folder, "socket", name, 4096), 0);
    check("a file", start_in(folder, "file", name, 4096), -ENOTSOCK);
    check("no folder", start_in(folder, "no/socket", name, 4096), -ENOENT);
    check("another size", start_in(folder, "socket", name, 8192), -EEXIST);
    check("no room", start_in(folder, "socket", "no-room", (size_t)1 << 50), -ENOMEM);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return EXIT_FAILURE;
    check_init();
    check_memory();
    check_start(argv[1], argv[2]);
    return n_wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
