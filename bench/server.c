/* SPDX-License-Identifier: MIT */
#include "server.h"

#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_BOUND (20 * NS_PER_S)

int bench_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (sock < 0)
        die("socket");
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(sock, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno != ENOENT && errno != ECONNREFUSED)
            die("cannot connect to %s", path);
        (void)close(sock);
        return -1;
    }
    return sock;
}

void bench_server_make_folder(BenchServer *server)
{
    const char *where = getenv("TMPDIR");

    *server = (BenchServer){.pid = 0};
    (void)snprintf(server->folder, sizeof(server->folder), "%s/ivshmem-bench-XXXXXX",
                   where ? where : "/tmp");
    if (!mkdtemp(server->folder))
        die("cannot make a folder in %s", where ? where : "/tmp");
    (void)snprintf(server->path, sizeof(server->path), "%s/socket", server->folder);
}

static void run(const BenchServer *server, const char *program, unsigned n_vectors, rlim_t limit)
{
    char vectors[16];
    struct rlimit fds = {limit, limit};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)snprintf(vectors, sizeof(vectors), "%u", n_vectors);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        die("/dev/null");
    /* That the limit on clients is reached is no news to a benchmark that reaches it. */
    if (limit && (setrlimit(RLIMIT_NOFILE, &fds) < 0 || dup2(null, STDERR_FILENO) < 0))
        die("setrlimit");
    (void)execl(program, program, "-F", "--memfd", "-l", "1M", "-n", vectors, "-S", server->path,
                (char *)NULL);
    die("%s", program);
}

pid_t bench_worker(pid_t server)
{
    char path[64];
    long worker = server;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)server, (long)server);
    file = fopen(path, "re");
    if (!file)
        return server;
    if (fscanf(file, "%ld", &worker) != 1)
        worker = server;
    (void)fclose(file);
    return (pid_t)worker;
}

static void wait_until_served(const BenchServer *server, const char *program)
{
    int64_t deadline = now_ns() + START_BOUND;
    int sock;

    while ((sock = bench_connect(server->path)) < 0) {
        errno = 0;
        if (waitpid(server->pid, NULL, WNOHANG) != 0 || now_ns() > deadline)
            die("%s does not serve", program);
        sleep_until(now_ns() + NS_PER_S / 500);
    }
    (void)close(sock);
    (void)cpu_ns_settled(bench_worker(server->pid));
}

void bench_server_start(BenchServer *server, const char *program, unsigned n_vectors, rlim_t limit)
{
    bench_server_make_folder(server);
    server->pid = start_child();
    if (server->pid == 0)
        run(server, program, n_vectors, limit);
    wait_until_served(server, program);
}

void bench_server_stop(BenchServer *server)
{
    char lock[sizeof(server->path) + 8];

    /* A server that is killed leaves its worker behind, which goes on serving. */
    if (server->pid > 0 && (kill(server->pid, SIGTERM) < 0 || waitpid(server->pid, NULL, 0) < 0))
        die("the server does not end");
    (void)snprintf(lock, sizeof(lock), "%s.lock", server->path);
    (void)unlink(server->path);
    (void)unlink(lock);
    (void)rmdir(server->folder);
    *server = (BenchServer){0};
}
