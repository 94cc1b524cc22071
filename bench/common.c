/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CHILDREN 16
#define SETTLE_NS    INT64_C(3000000) /* no CPU time in it: the process has come to rest */
#define SETTLE_BOUND (120 * NS_PER_S)

void die(const char *format, ...)
{
    int error = errno;
    va_list arguments;

    va_start(arguments, format);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
    exit(EXIT_FAILURE);
}

int64_t argument(const char *text, int64_t min, int64_t max)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max) {
        errno = 0;
        die("'%s' is not a number from %" PRId64 " to %" PRId64, text, min, max);
    }
    return value;
}

int64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void sleep_until(int64_t when)
{
    struct timespec then = {when / NS_PER_S, when % NS_PER_S};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL) == EINTR)
        ;
}

void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("setrlimit");
}

void make_pair(int pair[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
}

pid_t start_child_ended_by(int end)
{
    pid_t parent = getpid(), pid;

    (void)fflush(NULL);
    pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, end) < 0 || getppid() != parent)
            _exit(EXIT_FAILURE);
    }
    return pid;
}

pid_t start_child(void)
{
    return start_child_ended_by(SIGKILL);
}

pid_t start_child_with(int *sock)
{
    int pair[2];
    pid_t pid;

    make_pair(pair);
    pid = start_child();
    (void)close(pair[pid == 0 ? 0 : 1]);
    *sock = pair[pid == 0 ? 1 : 0];
    return pid;
}

void say_ready(int sock)
{
    if (write(sock, "", 1) != 1)
        die("nobody waits for this process");
}

void await_ready(int sock)
{
    char byte;
    ssize_t n = read(sock, &byte, 1);

    if (n == 0)
        errno = 0; /* what it ended with is its own to say */
    if (n != 1)
        die("a process has ended before it was ready");
}

void stop_child(pid_t pid)
{
    if (pid <= 0)
        return;
    (void)kill(pid, SIGKILL);
    if (waitpid(pid, NULL, 0) < 0)
        die("waitpid");
}

/* Opens /proc/PID/NAME. NULL if the process has gone. */
static FILE *open_proc(pid_t pid, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/* Adds up what `measure` says of the process and its children. */
static int64_t sum(pid_t pid, int64_t (*measure)(pid_t pid))
{
    int64_t total = measure(pid);
    char name[64];
    int child;
    FILE *file;

    (void)snprintf(name, sizeof(name), "task/%d/children", (int)pid);
    file = open_proc(pid, name);
    if (!file)
        return total; /* a kernel without CONFIG_PROC_CHILDREN */
    for (int i = 0; i < MAX_CHILDREN && fscanf(file, "%d", &child) == 1; i++)
        total += measure(child);
    (void)fclose(file);
    return total;
}

static int64_t cpu_of_one(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    int r = clock_getcpuclockid(pid, &clock);

    if (r != 0 || clock_gettime(clock, &used) < 0)
        die("process %d has no CPU clock", (int)pid);
    return used.tv_sec * NS_PER_S + used.tv_nsec;
}

int64_t cpu_ns(pid_t pid)
{
    return sum(pid, cpu_of_one);
}

int64_t cpu_ns_settled(pid_t pid)
{
    int64_t deadline = now_ns() + SETTLE_BOUND;
    int64_t before, after = cpu_ns(pid);

    do {
        before = after;
        sleep_until(now_ns() + SETTLE_NS);
        after = cpu_ns(pid);
        if (now_ns() > deadline) {
            errno = 0;
            die("process %d does not come to rest", (int)pid);
        }
    } while (after != before);
    return after;
}

/* The sum of the numbers behind `key` in the lines of /proc/PID/NAME. */
static int64_t sum_lines(pid_t pid, const char *name, const char *key)
{
    FILE *file = open_proc(pid, name);
    char line[256];
    int64_t total = 0, value;

    if (!file)
        die("/proc/%d/%s", (int)pid, name);
    while (fgets(line, sizeof(line), file)) {
        char *at = strstr(line, key);

        if (at && sscanf(at + strlen(key), "%" SCNd64, &value) == 1)
            total += value;
    }
    (void)fclose(file);
    return total;
}

/* Its own memory: pages of files, such as its program's, come and go as the kernel likes. smaps
 * walks the pages: the counters in statm lag behind by up to 256 KiB. */
static int64_t resident_of_one(pid_t pid)
{
    FILE *file = open_proc(pid, "smaps");
    char line[512];
    int64_t total = 0, value;
    bool is_own = false;

    if (!file)
        die("/proc/%d/smaps", (int)pid);
    while (fgets(line, sizeof(line), file)) {
        int path = 0;

        if (sscanf(line, "%*x-%*x %*s %*x %*x:%*x %*u %n", &path) == 0 && path > 0)
            is_own = line[path] != '/' || strncmp(line + path, "/memfd:", 7) == 0;
        else if (is_own && sscanf(line, "Rss: %" SCNd64, &value) == 1)
            total += value * 1024;
    }
    (void)fclose(file);
    return total;
}

int64_t resident_bytes(pid_t pid)
{
    return sum(pid, resident_of_one);
}

static int64_t switches_of_one(pid_t pid)
{
    return sum_lines(pid, "status", "ctxt_switches:");
}

int64_t context_switches(pid_t pid)
{
    return sum(pid, switches_of_one);
}

int64_t open_fds(pid_t pid)
{
    char path[64];
    int64_t n = -2; /* . and .. */
    DIR *folder;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    folder = opendir(path);
    if (!folder)
        die("%s", path);
    while (readdir(folder))
        n++;
    (void)closedir(folder);
    return n;
}
