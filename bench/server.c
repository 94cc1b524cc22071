/* SPDX-License-Identifier: MIT */
#include "server.h"

#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM        1 /* that a region is full is no news, but it would be said */
#define START_BOUND (20 * NS_PER_S)
#define WORDS_MAX   32

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
    (void)snprintf(server->control, sizeof(server->control), "%s/control", server->folder);
}

/* What a server prints is of no interest. Gives a descriptor for more of that. */
static int silence(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        die("/dev/null");
    return null;
}

static void run(const BenchServer *server, const char *program, unsigned n_vectors, rlim_t limit,
                char *const *more)
{
    const char *words[WORDS_MAX] = {program, "-F", "--memfd", "-l", "1M", "-S", server->path, "-n"};
    unsigned n_words = 0;
    char vectors[16];
    struct rlimit fds = {limit, limit};
    int null = silence();

    (void)snprintf(vectors, sizeof(vectors), "%u", n_vectors);
    /* That the limit on clients is reached is no news to a benchmark that reaches it. */
    if (limit && (setrlimit(RLIMIT_NOFILE, &fds) < 0 || dup2(null, STDERR_FILENO) < 0))
        die("setrlimit");
    while (words[n_words])
        n_words++;
    words[n_words++] = vectors;
    while (more && *more && n_words < WORDS_MAX - 1)
        words[n_words++] = *more++;
    (void)execv(program, (char *const *)(uintptr_t)words);
    die("%s", program);
}

/* Whether it waits to be the next worker. */
static bool stands_by(long pid)
{
    char path[64], name[16] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    (void)!fread(name, 1, sizeof(name) - 1, file);
    (void)fclose(file);
    return strcmp(name, "ivshmem-standby") == 0;
}

static FILE *open_children(pid_t server)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)server, (long)server);
    return fopen(path, "re");
}

pid_t bench_worker(pid_t server)
{
    long worker = server, child;
    FILE *file = open_children(server);

    if (!file)
        return server;
    while (fscanf(file, "%ld", &child) == 1) /* the latest: others have ended */
        worker = stands_by(child) ? worker : child;
    (void)fclose(file);
    return (pid_t)worker;
}

/* Until the keeper has nothing more to start, which would count as the server's work. */
static void await_standby(pid_t server)
{
    int64_t deadline = now_ns() + NS_PER_S;

    if (bench_worker(server) == server)
        return; /* it is one process */
    while (now_ns() < deadline) {
        long last = server, child;
        FILE *file = open_children(server);

        while (file && fscanf(file, "%ld", &child) == 1)
            last = child;
        if (file)
            (void)fclose(file);
        if (stands_by(last))
            return;
        sleep_until(now_ns() + NS_PER_S / 100);
    }
}

static int connect_when_served(const BenchServer *server, const char *program)
{
    int64_t deadline = now_ns() + START_BOUND;
    int sock;

    while ((sock = bench_connect(server->path)) < 0) {
        errno = 0;
        if (waitpid(server->pid, NULL, WNOHANG) != 0 || now_ns() > deadline)
            die("%s does not serve", program);
        sleep_until(now_ns() + NS_PER_S / 500);
    }
    return sock;
}

/* In a folder that is there. */
static void start(BenchServer *server, const char *program, unsigned n_vectors, rlim_t limit,
                  char *const *more)
{
    server->pid = start_child_ended_by(SIGTERM);
    if (server->pid == 0)
        run(server, program, n_vectors, limit, more);
    (void)close(connect_when_served(server, program));
    await_standby(server->pid);
    (void)cpu_ns_settled(bench_worker(server->pid));
}

void bench_server_start_with(BenchServer *server, const char *program, unsigned n_vectors,
                             rlim_t limit, char *const *more)
{
    bench_server_make_folder(server);
    start(server, program, n_vectors, limit, more);
}

void bench_server_start_controlled(BenchServer *server, const char *program, unsigned n_vectors)
{
    bench_server_make_folder(server);
    start(server, program, n_vectors, 0, (char *[]){(char *)"--control", server->control, NULL});
}

void bench_server_start(BenchServer *server, const char *program, unsigned n_vectors, rlim_t limit)
{
    bench_server_start_with(server, program, n_vectors, limit, NULL);
}

pid_t bench_server_start_successor(const BenchServer *server, const char *program,
                                   unsigned n_vectors, int64_t when)
{
    const char *more[] = {"--take-over", server->control, NULL};
    pid_t pid = start_child_ended_by(SIGTERM);

    if (pid == 0) {
        sleep_until(when);
        run(server, program, n_vectors, 0, (char *const *)(uintptr_t)more);
    }
    return pid;
}

void bench_server_other(const BenchServer *server, unsigned other, char path[static 96])
{
    (void)snprintf(path, 96, "%s/other-%u", server->folder, other);
}

static void write_region(const BenchServer *server, const char *name, const char *path,
                         unsigned n_vectors, unsigned max_clients)
{
    char conf[128];
    FILE *file;

    (void)snprintf(conf, sizeof(conf), "%s/%s.conf", server->folder, name);
    file = fopen(conf, "we");
    if (!file)
        die("%s", conf);
    (void)fprintf(file,
                  "[region]\nsize = 1M\nvectors = %u\nmax-clients = %u\n"
                  "[listener clients]\nsocket = %s\n",
                  n_vectors, max_clients, path);
    if (fclose(file) != 0)
        die("%s", conf);
}

static void run_regions(const BenchServer *server, const char *program)
{
    char config[96], control[96];

    (void)snprintf(config, sizeof(config), "--config=%s", server->folder);
    (void)snprintf(control, sizeof(control), "--control=%s/control", server->folder);
    (void)silence();
    (void)execl(program, program, "-F", config, control, (char *)NULL);
    die("%s", program);
}

int64_t bench_server_start_regions(BenchServer *server, const char *program, unsigned n_vectors,
                                   unsigned max_clients, unsigned n_others, unsigned others_clients)
{
    char path[96], name[32];
    int64_t began, version;
    int sock;

    bench_server_make_folder(server);
    server->n_others = n_others;
    for (unsigned i = 0; i < n_others; i++) {
        bench_server_other(server, i, path);
        (void)snprintf(name, sizeof(name), "other-%u", i);
        write_region(server, name, path, n_vectors, others_clients + ROOM);
    }
    write_region(server, "z", server->path, n_vectors, max_clients + ROOM); /* it is read last */
    began = now_ns();
    server->pid = start_child_ended_by(SIGTERM);
    if (server->pid == 0)
        run_regions(server, program);
    sock = connect_when_served(server, program);
    if (read(sock, &version, sizeof(version)) != sizeof(version))
        die("%s does not serve", program);
    began = now_ns() - began;
    (void)close(sock);
    await_standby(server->pid);
    (void)cpu_ns_settled(bench_worker(server->pid));
    return began;
}

/* What is left there are files only. */
static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        (void)unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        (void)closedir(folder);
    (void)rmdir(path);
}

void bench_server_stop(BenchServer *server)
{
    if (server->pid > 0 && (kill(server->pid, SIGTERM) < 0 || waitpid(server->pid, NULL, 0) < 0))
        die("the server does not end");
    remove_folder(server->folder);
    *server = (BenchServer){0};
}
