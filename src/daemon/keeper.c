/* SPDX-License-Identifier: MIT */
#include "daemon/keeper.h"

#include "daemon/notify.h"
#include "daemon/report.h"
#include "daemon/watchdog.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
#define SETTLED  (NS_PER_S / 4) /* a worker that lived so long was not part of a series */
#define FIRST_WAIT                                                                                 \
    (NS_PER_S / 100) /* before the third of a series; doubled for each further one                 \
                      */
#define MOST_WAIT   (NS_PER_S / 5)
#define MOST_DEATHS 20 /* in a series */
#define REAP_AFTER  SETTLED

static int64_t timespec_ns(const struct timespec *time)
{
    return time->tv_sec * NS_PER_S + time->tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ns / NS_PER_S, ns % NS_PER_S};
}

static int64_t now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return timespec_ns(&time);
}

/* The signals that the keeper waits for. */
static sigset_t signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    return set;
}

/* As fork(), but that the table of descriptors is one: glibc has no call for it.
 * seccomp-keeper: clone */
static pid_t spawn(KeeperWork *work, void *context, KeeperTask task, unsigned n_killed)
{
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(work(context, task, n_killed));
    return pid < 0 ? -errno : pid;
}

/* Has a worker that has hung for too long follow its dead. */
static void end_if_hung(pid_t worker)
{
    if (!watchdog_is_late())
        return;
    report_error("the worker has not answered the watchdog in time: it is killed");
    (void)kill(worker, SIGKILL);
    watchdog_begin();
}

/* Whether the worker has ended: no thread of it will run another instruction, and its memory is no
 * longer mapped. It is not reaped. */
static bool has_ended(pid_t worker, siginfo_t *end)
{
    end->si_pid = 0;
    return waitid(P_PID, (id_t)worker, end, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           end->si_pid == worker;
}

/* That can take the kernel longer than all else: it drops what it knows of the dead in /proc, which
 * is a name for each descriptor if somebody has listed them. So the next worker serves before.
 * seccomp-keeper: wait4 */
static void reap(pid_t *dead)
{
    if (*dead > 0)
        (void)waitpid(*dead, NULL, 0);
    *dead = 0;
}

/* How long to wait for a signal; NULL: until one comes. */
static const struct timespec *patience(pid_t dead, struct timespec *time)
{
    const struct timespec *watchdog = watchdog_wait(time);

    if (dead <= 0 || (watchdog && timespec_ns(watchdog) < REAP_AFTER))
        return watchdog;
    *time = timespec_of(REAP_AFTER);
    return time;
}

/* Passes signals on to the worker until it has ended, and notes one that asks for the end. Reaps
 * the one before it in the first pause. seccomp-keeper: rt_sigtimedwait kill waitid */
static siginfo_t wait_for(pid_t worker, pid_t *dead, KeeperTask *next)
{
    const sigset_t set = signals();
    struct timespec time;
    siginfo_t end;

    for (;;) {
        int number = sigtimedwait(&set, NULL, patience(*dead, &time));

        end_if_hung(worker);
        if (number < 0) {
            reap(dead);
            continue;
        }
        if (number == SIGTERM || number == SIGINT)
            *next = KEEPER_END;
        if (number != SIGCHLD)
            (void)kill(worker, number);
        else if (has_ended(worker, &end))
            return end;
    }
}

/* seccomp-keeper: clock_nanosleep */
static void pause_before(unsigned deaths, pid_t *dead)
{
    int64_t wait = deaths < 2 ? 0 : FIRST_WAIT;
    struct timespec time;

    for (unsigned i = 2; i < deaths && wait < MOST_WAIT; i++)
        wait *= 2;
    if (wait > MOST_WAIT)
        wait = MOST_WAIT;
    if (wait == 0)
        return;
    reap(dead);
    time = timespec_of(wait);
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void tell(pid_t worker, const siginfo_t *end, unsigned deaths)
{
    if (worker < 0)
        report_error("no worker could be started (%u in a row): %s; no client sees it", deaths,
                     strerror(-worker));
    else if (end->si_code != CLD_EXITED)
        report_error("the worker was killed by signal %d (%u in a row); no client sees it",
                     end->si_status, deaths);
    else
        report_error("the worker could not go on (%u in a row); no client sees it", deaths);
}

/* The peers go on without a server; whoever ends us ends them. */
static int hold(KeeperWork *work, void *context, unsigned n_killed)
{
    const sigset_t set = signals();
    KeeperTask task;
    struct timespec time;
    int number;
    pid_t last, dead = 0;

    report_error("%d workers in a row were killed: no more are started. Peers that are connected "
                 "keep their memory and doorbells; nobody can join until this server is restarted",
                 MOST_DEATHS);
    do {
        notify_tell("STATUS=Holding everything open without a worker: nobody can join");
        number = sigtimedwait(&set, NULL, watchdog_stand_in(&time));
    } while (number != SIGTERM && number != SIGINT);
    watchdog_begin();
    last = spawn(work, context, KEEPER_END, n_killed);
    return last < 0 ? last : wait_for(last, &dead, &task).si_status;
}

int keeper_run(KeeperWork *work, void *context)
{
    const sigset_t set = signals();
    KeeperTask task = KEEPER_SERVE;
    unsigned deaths = 0, n_killed = 0;
    bool is_first = true;
    pid_t dead = 0;

    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        int64_t began = now();
        siginfo_t end = {.si_code = 0};
        pid_t worker;

        watchdog_begin();
        worker = spawn(work, context, task, n_killed);
        if (worker >= 0)
            end = wait_for(worker, &dead, &task);
        else if (is_first)
            return worker;
        if (end.si_code == CLD_EXITED && (is_first || end.si_status != KEEPER_TRY_AGAIN))
            return end.si_status;
        reap(&dead); /* the one before, if this one has died so soon */
        dead = worker;
        is_first = false;
        deaths = now() - began > SETTLED ? 1 : deaths + 1;
        n_killed++;
        tell(worker, &end, deaths);
        if (deaths == MOST_DEATHS) {
            reap(&dead);
            return hold(work, context, n_killed);
        }
        pause_before(deaths, &dead);
    }
}
