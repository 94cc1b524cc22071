/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include "crowd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>

#define LOOK_MS        5    /* between two looks at a process that does not stop */
#define ASLEEP_LOOKS   4    /* in a row, and it has gone to sleep */
#define PATIENCE_LOOKS 4000 /* 20 s */

static void ask(int request, pid_t pid, long data)
{
    if (ptrace(request, pid, 0, data) < 0)
        crowd_fail("ptrace(%d) of %d: %s", request, (int)pid, strerror(errno));
}

static void wake(int number)
{
    (void)number;
}

/* Whether waits are interrupted every so often. */
static void set_looks(bool on)
{
    const struct itimerval every = {{0, on ? LOOK_MS * 1000 : 0}, {0, on ? LOOK_MS * 1000 : 0}};
    const struct sigaction action = {.sa_handler = wake};

    (void)sigaction(SIGALRM, &action, NULL);
    (void)setitimer(ITIMER_REAL, &every, NULL);
}

/* As /proc has it: S is asleep. */
static char state_of(pid_t pid)
{
    char path[64], line[512] = "";
    const char *end;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    (void)!fgets(line, sizeof(line), file);
    (void)fclose(file);
    end = strrchr(line, ')');
    return end ? end[2] : 0;
}

/* Waits for a stop or the end of the process. False if it sleeps instead. */
static bool wait_for(pid_t pid, int *status, bool may_sleep)
{
    unsigned asleep = 0;

    for (unsigned looks = 0; looks < PATIENCE_LOOKS; looks++) {
        if (waitpid(pid, status, __WALL) == pid)
            return true;
        if (errno != EINTR)
            crowd_fail("waiting for %d: %s", (int)pid, strerror(errno));
        asleep = state_of(pid) == 'S' ? asleep + 1 : 0;
        if (may_sleep && asleep == ASLEEP_LOOKS)
            return false;
    }
    crowd_fail("process %d does not stop", (int)pid);
}

static void stop(pid_t pid)
{
    int status;

    ask(PTRACE_INTERRUPT, pid, 0);
    if (!wait_for(pid, &status, false) || !WIFSTOPPED(status))
        crowd_fail("process %d has ended", (int)pid);
}

void trace_begin(pid_t pid)
{
    set_looks(true);
    ask(PTRACE_SEIZE, pid, PTRACE_O_TRACESYSGOOD);
    stop(pid);
}

pid_t trace_child(pid_t parent)
{
    unsigned long child = 0;
    int status;

    set_looks(true);
    do {
        if (!wait_for(parent, &status, false) || !WIFSTOPPED(status))
            crowd_fail("the keeper has ended");
        if (status >> 16 == 0)
            ask(PTRACE_CONT, parent, WSTOPSIG(status));
    } while (status >> 16 == 0);
    if (ptrace(PTRACE_GETEVENTMSG, parent, 0, &child) < 0)
        crowd_fail("no child: %s", strerror(errno));
    ask(PTRACE_DETACH, parent, 0);
    if (!wait_for((pid_t)child, &status, false) || !WIFSTOPPED(status))
        crowd_fail("the new worker has ended");
    ask(PTRACE_SETOPTIONS, (pid_t)child, PTRACE_O_TRACESYSGOOD);
    return (pid_t)child;
}

void trace_parent(pid_t parent)
{
    ask(PTRACE_SEIZE, parent, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE);
}

bool trace_step(pid_t pid, TraceStep step)
{
    int status, request = step == TRACE_CALL ? PTRACE_SYSCALL : PTRACE_SINGLESTEP;
    long number = 0;

    for (;;) {
        ask(request, pid, number);
        if (!wait_for(pid, &status, true))
            return false;
        if (!WIFSTOPPED(status))
            crowd_fail("the worker has ended by itself, status %#x", (unsigned)status);
        if (WSTOPSIG(status) == (SIGTRAP | 0x80) ||
            (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0))
            return true;
        /* a signal of its own is delivered, any other stop passed over */
        number = status >> 16 ? 0 : WSTOPSIG(status);
    }
}

void trace_kill(pid_t pid)
{
    int status;

    (void)kill(pid, SIGKILL);
    do {
        (void)wait_for(pid, &status, false);
    } while (WIFSTOPPED(status));
    set_looks(false);
}

void trace_end(pid_t pid)
{
    stop(pid);
    while (trace_step(pid, TRACE_CALL)) /* the end of a single step may still be on its way */
        ;
    stop(pid);
    ask(PTRACE_DETACH, pid, 0);
    set_looks(false);
}
