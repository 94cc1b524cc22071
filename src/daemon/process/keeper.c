/* SPDX-License-Identifier: MIT */
#include "daemon/process/keeper.h"

#include "daemon/process/gate.h"
#include "daemon/process/notify.h"
#include "daemon/process/report.h"
#include "daemon/process/watchdog.h"
#include "util/deadline.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

/* A worker that lived so long was not part of a series. */
#define SETTLED (NS_PER_S / 4)

/* Before the third of a series; doubled for each further one, up to the most. */
#define FIRST_WAIT (NS_PER_S / 100)
#define MOST_WAIT  (NS_PER_S / 5)

/* Between looks whether a process has come to the gate, or through it, or is ready. */
#define LOOK_WAIT (NS_PER_S / 1000)

/* For the first worker to come to the gate. */
#define STANDBY_WAIT NS_PER_S

#define MOST_DEATHS 20 /* in a series */
#define MOST_LOST   3  /* processes that end while they stand by, until there is none */

static int64_t timespec_ns(const struct timespec *time)
{
    return time->tv_sec * NS_PER_S + time->tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ns / NS_PER_S, ns % NS_PER_S};
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

/* From here on it ends with the keeper: who shares the table of descriptors keeps them open. And a
 * signal ends it, rather than to wait for the worker that it may become; but SIGHUP, which means
 * the worker. The keeper passes none on to it. seccomp-keeper: prctl(0=PR_SET_PDEATHSIG) */
static bool stand_by(pid_t keeper)
{
    const sigset_t set = signals();

    (void)signal(SIGHUP, SIG_IGN);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == keeper;
}

/* It is the worker, which outlives the keeper, and to which the keeper may pass on signals.
 *
 * seccomp: prctl(0=PR_SET_PDEATHSIG) prctl(0=PR_SET_NAME) */
static void step_forward(const Keeper *keeper)
{
    const sigset_t set = signals();

    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGHUP, SIG_DFL);
    gate_pass(keeper->number);
    (void)prctl(PR_SET_PDEATHSIG, 0);
    (void)prctl(PR_SET_NAME, keeper->name);
}

/* All that a process does which the keeper has started. */
static int live(const Keeper *keeper, pid_t parent, bool is_ahead, unsigned n_killed)
{
    KeeperTask task;

    if (is_ahead && !stand_by(parent))
        return KEEPER_TRY_AGAIN;
    if (keeper->job->prepare(keeper->context) < 0)
        return KEEPER_TRY_AGAIN;
    do {
        gate_listen(keeper->number);
        if (is_ahead)
            keeper->job->look_ahead(keeper->context);
    } while (!gate_wait(keeper->number, &task));
    if (is_ahead)
        step_forward(keeper);
    return keeper->job->work(keeper->context, task, n_killed);
}

/* Starts a process, ahead of its time or not, that comes after so many: as fork(), but that the
 * table of descriptors is one. glibc has no call for it. seccomp-keeper: clone */
static pid_t spawn(const Keeper *keeper, bool is_ahead, unsigned n_killed)
{
    pid_t parent = getpid();
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(live(keeper, parent, is_ahead, n_killed));
    return pid < 0 ? -errno : pid;
}

/* Nobody is to take it for a worker: it has its name from the start, which is its parent's.
 * seccomp-keeper: prctl(0=PR_SET_NAME) */
static pid_t spawn_standby(Keeper *keeper, unsigned n_killed)
{
    pid_t pid;

    keeper->number++;
    (void)prctl(PR_SET_NAME, STANDBY_NAME);
    pid = spawn(keeper, true, n_killed);
    (void)prctl(PR_SET_NAME, keeper->name);
    return pid;
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

/* Whether the process has ended: no thread of it will run another instruction, and its memory is no
 * longer mapped. It is not reaped. */
static bool has_ended(pid_t pid, siginfo_t *end)
{
    end->si_pid = 0;
    return waitid(P_PID, (id_t)pid, end, WEXITED | WNOHANG | WNOWAIT) == 0 && end->si_pid == pid;
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

/* There is none, so far. */
static void lose_standby(Keeper *keeper)
{
    keeper->standby = 0;
    keeper->chores_at = deadline_now() + SETTLED;
    if (++keeper->n_lost == MOST_LOST)
        report_error("%d processes that stood by for the worker have ended: no more are started "
                     "until it does; no client sees it",
                     MOST_LOST);
}

/* Forgets one that has ended while it stood by. */
static void check_standby(Keeper *keeper)
{
    siginfo_t end;

    if (keeper->standby <= 0 || !has_ended(keeper->standby, &end))
        return;
    reap(&keeper->standby);
    lose_standby(keeper);
}

static void dismiss_standby(Keeper *keeper)
{
    if (keeper->standby > 0)
        (void)kill(keeper->standby, SIGKILL);
    reap(&keeper->standby);
}

/* Whether something is to be done once the worker has settled. */
static bool has_chores(const Keeper *keeper)
{
    return keeper->dead > 0 || (keeper->standby <= 0 && keeper->n_lost < MOST_LOST);
}

static void do_chores(Keeper *keeper)
{
    if (!keeper->is_ready || !has_chores(keeper) || deadline_now() < keeper->chores_at)
        return;
    reap(&keeper->dead);
    keeper->job->settled(keeper->context);
    if (keeper->standby > 0 || keeper->n_lost >= MOST_LOST)
        return;
    keeper->standby = spawn_standby(keeper, keeper->n_killed + 1);
    if (keeper->standby < 0)
        lose_standby(keeper);
}

/* How long to wait for a signal; NULL: until one comes. */
static const struct timespec *patience(const Keeper *keeper, struct timespec *time)
{
    const struct timespec *watchdog = watchdog_wait(time);
    int64_t left = keeper->chores_at - deadline_now();

    if (!keeper->is_ready) {
        *time = timespec_of(LOOK_WAIT);
        return time;
    }
    if (!has_chores(keeper) || (watchdog && timespec_ns(watchdog) < left))
        return watchdog;
    *time = timespec_of(left > 0 ? left : 0);
    return time;
}

/* The next signal; 0 or less: none in that time. What is for the worker stays pending until there
 * is one that can take it. seccomp-keeper: rt_sigtimedwait */
static int next_signal(const Keeper *keeper)
{
    sigset_t set = signals();
    struct timespec time = timespec_of(LOOK_WAIT);

    if (gate_is_passed(keeper->awaited))
        return sigtimedwait(&set, NULL, patience(keeper, &time));
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    return sigtimedwait(&set, NULL, &time);
}

/* Told before it is done, should the keeper be killed in between: what it does cannot be done
 * twice. */
static void check_ready(Keeper *keeper)
{
    if (keeper->is_ready || !gate_has(GATE_READY))
        return;
    keeper->is_ready = true;
    gate_mark(GATE_TOLD);
    keeper->job->ready(keeper->context);
}

/* Passes signals on to the worker until it has ended, and notes one that asks for the end. Does
 * what is left to do in the first pause. seccomp-keeper: kill waitid */
static siginfo_t wait_for_worker(Keeper *keeper, KeeperTask *next)
{
    siginfo_t end;

    for (;;) {
        int number = next_signal(keeper);

        check_ready(keeper);
        end_if_hung(keeper->worker);
        if (number > 0 && has_ended(keeper->worker, &end)) {
            if (number != SIGCHLD)
                (void)kill(getpid(), number); /* it is the next one's */
            return end;
        }
        if (number == SIGCHLD)
            check_standby(keeper);
        else if (number > 0)
            (void)kill(keeper->worker, number);
        if (number == SIGTERM || number == SIGINT)
            *next = KEEPER_END;
        do_chores(keeper);
    }
}

/* Has the one that stands by be the worker. It may be stopped: nobody has missed it so far. */
static void promote(Keeper *keeper, KeeperTask task)
{
    keeper->worker = keeper->standby;
    keeper->awaited = keeper->number;
    gate_open(keeper->number, task);
    (void)kill(keeper->worker, SIGCONT);
}

/* Starts one, whose signals are blocked from the start. The gate is open before, should the keeper
 * be killed next. */
static void start_new(Keeper *keeper, KeeperTask task)
{
    gate_open(++keeper->number, task);
    gate_pass(keeper->number);
    keeper->awaited = keeper->number;
    keeper->worker = spawn(keeper, false, keeper->n_killed);
}

/* @return 0 or a negative errno */
static int start_worker(Keeper *keeper, KeeperTask task)
{
    check_standby(keeper);
    if (keeper->standby > 0)
        promote(keeper, task);
    else
        start_new(keeper, task);
    keeper->standby = 0;
    keeper->n_lost = 0;
    keeper->chores_at = deadline_now() + SETTLED;
    return keeper->worker < 0 ? keeper->worker : 0;
}

/* seccomp-keeper: clock_nanosleep */
static void pause_before(unsigned deaths, Keeper *keeper)
{
    int64_t wait = deaths < 2 ? 0 : FIRST_WAIT;
    struct timespec time;

    for (unsigned i = 2; i < deaths && wait < MOST_WAIT; i++)
        wait *= 2;
    if (wait > MOST_WAIT)
        wait = MOST_WAIT;
    if (wait == 0)
        return;
    reap(&keeper->dead);
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
static int hold(Keeper *keeper)
{
    const sigset_t set = signals();
    KeeperTask task;
    struct timespec time;
    int number, r;

    report_error("%d workers in a row were killed: no more are started. Peers that are connected "
                 "keep their memory and doorbells; nobody can join until this server is restarted",
                 MOST_DEATHS);
    dismiss_standby(keeper);
    do {
        notify_tell("STATUS=Holding everything open without a worker: nobody can join");
        number = sigtimedwait(&set, NULL, watchdog_stand_in(&time));
    } while (number != SIGTERM && number != SIGINT);
    watchdog_begin();
    r = start_worker(keeper, KEEPER_END);
    return r < 0 ? r : wait_for_worker(keeper, &task).si_status;
}

/* Whether a worker that has ended with that is followed by another. */
static bool goes_on(int status, bool is_first)
{
    return status == KEEPER_GO_ON || (status == KEEPER_TRY_AGAIN && !is_first);
}

/* Until a worker ends by itself. @return its exit status */
static int keep(Keeper *keeper)
{
    KeeperTask task = KEEPER_SERVE;
    unsigned deaths = 0;

    for (bool is_first = true;; is_first = false) {
        int64_t began = deadline_now();
        siginfo_t end = {.si_code = 0};
        int r;

        watchdog_begin();
        r = start_worker(keeper, task);
        if (r == 0)
            end = wait_for_worker(keeper, &task);
        else if (is_first)
            return r;
        if (end.si_code == CLD_EXITED && !goes_on(end.si_status, is_first))
            return end.si_status;
        reap(&keeper->dead); /* the one before, if this one has died so soon */
        keeper->dead = keeper->worker;
        deaths = deadline_now() - began > SETTLED ? 1 : deaths + 1;
        keeper->n_killed++;
        tell(keeper->worker, &end, deaths);
        if (deaths == MOST_DEATHS) {
            reap(&keeper->dead);
            return gate_has(GATE_SERVED) ? hold(keeper) : KEEPER_TRY_AGAIN;
        }
        pause_before(deaths, keeper);
    }
}

int keeper_init(Keeper *keeper, const KeeperJob *job, void *context)
{
    const sigset_t set = signals();

    *keeper = (Keeper){.job = job, .context = context};
    (void)prctl(PR_GET_NAME, keeper->name);
    (void)signal(SIGCHLD, SIG_DFL); /* whoever started us may ignore it, and it would not come */
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return gate_make();
}

static void await_standby(Keeper *keeper)
{
    const struct timespec pause = timespec_of(LOOK_WAIT);
    int64_t deadline = deadline_now() + STANDBY_WAIT;

    while (keeper->standby > 0 && !gate_is_reached(keeper->number) && deadline_now() < deadline) {
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        check_standby(keeper);
    }
}

void keeper_stand_by(Keeper *keeper)
{
    keeper->standby = spawn_standby(keeper, 0);
    await_standby(keeper);
}

void keeper_look_ahead(Keeper *keeper)
{
    gate_call();
    await_standby(keeper);
}

void keeper_call(void)
{
    gate_call();
}

void keeper_serve(void)
{
    gate_mark(GATE_SERVED);
}

void keeper_ready(void)
{
    gate_mark(GATE_READY);
}

bool keeper_has_told(void)
{
    return gate_has(GATE_TOLD);
}

bool keeper_is_wanted(void)
{
    return gate_is_open();
}

int keeper_run(Keeper *keeper)
{
    int r = keep(keeper);

    dismiss_standby(keeper);
    return r;
}
