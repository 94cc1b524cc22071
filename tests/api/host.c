/* SPDX-License-Identifier: MIT */
/*
 * A program that hosts a server around select(), with nothing but the public header: C99 and C++.
 * It takes commands on standard input, a line each, and answers with a line that ends in ".":
 *
 *     start, close      the server
 *     peers             walks the list: id=pid/uid/vectors ...
 *     search ID         found or none
 *     dump              prints to standard output, too
 *     numbers           max_clients, ids_left, cur_id, size, vectors
 *     high              whether an fd that does not fit an fd_set is kept out of it (after start)
 *     error             the server's last error
 *     child             makes a process that holds copies of all descriptors until the end
 *
 * Callbacks print lines of their own.
 */
#include "ivshmem-server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void say_connected(void *opaque, IvshmemServer *server, const IvshmemServerPeer *peer)
{
    const char *name = (const char *)opaque;

    printf("connected %s %d %d\n", name, (int)peer->id,
           ivshmem_server_search_peer(server, peer->id) == peer);
}

static void say_left(void *opaque, IvshmemServer *server, const IvshmemServerPeer *peer)
{
    const char *name = (const char *)opaque;

    printf("left %s %d %d\n", name, (int)peer->id,
           ivshmem_server_search_peer(server, peer->id) == NULL);
}

static void show_peers(IvshmemServer *server)
{
    const IvshmemServerPeer *peer;

    IVSHMEM_SERVER_FOREACH_PEER(peer, server) {
        unsigned i;

        printf("%d=%d/%u/%u", (int)peer->id, (int)peer->pid, (unsigned)peer->uid,
               peer->vectors_count);
        for (i = 0; i < peer->vectors_count; i++)
            if (peer->vectors[i] < 0)
                printf(" without vector %u", i);
        printf(" ");
    }
}

/* An fd_set between guards, as one that a stray FD_SET() would write past. */
typedef struct Guarded {
    unsigned char before[4096];
    fd_set set;
    unsigned char after[4096];
} Guarded;

static void show_high(IvshmemServer *server)
{
    static Guarded guarded, same;
    int maxfd = 6;

    memset(&guarded, 0xa5, sizeof(guarded));
    FD_ZERO(&guarded.set);
    FD_SET(5, &guarded.set);
    memcpy(&same, &guarded, sizeof(same));
    ivshmem_server_get_fds(server, &guarded.set, &maxfd);
    printf("fits %d, unchanged %d, maxfd %d, ", ivshmem_server_get_fd(server) < FD_SETSIZE,
           memcmp(&same, &guarded, sizeof(same)) == 0, maxfd);
    printf("result %s, ",
           ivshmem_server_handle_fds(server, &guarded.set, maxfd) == -EMFILE ? "EMFILE" : "other");
    printf("unchanged %d ", memcmp(&same, &guarded, sizeof(same)) == 0);
}

static void make_child(void)
{
    child = fork();
    if (child == 0)
        alarm(60); /* should we be killed before we end it */
    while (child == 0)
        pause();
}

static void end_child(void)
{
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

/* Returns whether to go on. */
static int obey(IvshmemServer *server, const char *line)
{
    if (strcmp(line, "start") == 0)
        printf("%d ", ivshmem_server_start(server));
    else if (strcmp(line, "close") == 0)
        ivshmem_server_close(server);
    else if (strcmp(line, "peers") == 0)
        show_peers(server);
    else if (strncmp(line, "search ", 7) == 0)
        printf("%s ", ivshmem_server_search_peer(server, atoll(line + 7)) ? "found" : "none");
    else if (strcmp(line, "dump") == 0)
        ivshmem_server_dump(server);
    else if (strcmp(line, "numbers") == 0)
        printf("%u %u %u %lu %u ", ivshmem_server_max_clients(server),
               ivshmem_server_ids_left(server), (unsigned)server->cur_id,
               (unsigned long)server->shm_size, server->n_vectors);
    else if (strcmp(line, "high") == 0)
        show_high(server);
    else if (strcmp(line, "error") == 0)
        printf("%s ", ivshmem_server_error(server));
    else if (strcmp(line, "child") == 0)
        make_child();
    else
        return 0;
    printf(".\n");
    return 1;
}

/* Takes what stands on standard input: whole lines, because the test waits for each answer. */
static int read_command(IvshmemServer *server)
{
    char line[256];
    ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

    if (n <= 0 || line[n - 1] != '\n')
        return 0;
    line[n - 1] = '\0';
    return obey(server, line);
}

static int serve(IvshmemServer *server)
{
    for (;;) {
        int maxfd = STDIN_FILENO + 1; /* one more than the highest, as programs have it today */
        fd_set fds;

        FD_ZERO(&fds);
        FD_SET(STDIN_FILENO, &fds);
        ivshmem_server_get_fds(server, &fds, &maxfd);
        if (select(maxfd, &fds, NULL, NULL, NULL) < 0)
            return EXIT_FAILURE;
        if (ivshmem_server_handle_fds(server, &fds, maxfd) < 0 &&
            ivshmem_server_get_fd(server) < FD_SETSIZE)
            return EXIT_FAILURE;
        if (FD_ISSET(STDIN_FILENO, &fds) && !read_command(server))
            return EXIT_SUCCESS;
    }
}

/* host SOCKET NAME VECTORS [FDS]: opens that many descriptors first. */
int main(int argc, char **argv)
{
    IvshmemServer server;
    IvshmemServerConfig config;
    int status, n;

    if (argc < 4)
        return EXIT_FAILURE;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (n = argc > 4 ? atoi(argv[4]) : 0; n > 0; n--)
        if (dup(STDIN_FILENO) < 0)
            return EXIT_FAILURE;
    ivshmem_server_config_init(&config);
    config.unix_sock_path = argv[1];
    config.shm_path = argv[2];
    config.n_vectors = (unsigned)atoi(argv[3]);
    config.shm_size = 100000;
    config.opaque = argv[2];
    config.peer_connected = say_connected;
    config.peer_left = say_left;
    if (ivshmem_server_init_config(&server, &config) < 0)
        return EXIT_FAILURE;
    memset(&config, 0xa5, sizeof(config)); /* it was copied */
    status = serve(&server);
    ivshmem_server_close(&server);
    ivshmem_server_close(&server);
    end_child();
    return status;
}
