/* SPDX-License-Identifier: MIT */
/* What a confined process can do, and what it dies of or is denied. Each try is a process. */
#include "daemon/process/drop.h"
#include "daemon/process/sandbox.h"
#include "util/cleanup.h"
#include "util/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define OUTSIDE "ivshmem-sandbox-outside"

typedef int Try(void);

typedef struct Forbidden {
    const char *name;
    Try *try;
} Forbidden;

static char folder[] = "/tmp/ivshmem-sandbox-XXXXXX";

/* Confines this process to the folder, where files may be read, written and removed. */
static void confine(SandboxMode mode, unsigned needs)
{
    const SandboxPath paths[] = {
        {.path = folder, .read = true, .write = true, .remove = true},
        {.path = "/dev/null", .read = true},
        {.path = "/nonexistent", .read = true},
    };
    ErrorText error;

    if (drop_privileges((uid_t)-1, (gid_t)-1, NULL, 0, &error) < 0 ||
        sandbox_enter(mode, needs, paths, sizeof(paths) / sizeof(paths[0]), &error) < 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        _exit(99);
    }
}

/* What comes of a try in a process that is confined to these needs: its result, or -signal. */
static int outcome_of(SandboxMode mode, unsigned needs, Try *try)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(20);
        confine(mode, needs);
        _exit(try());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int outcome(SandboxMode mode, Try *try)
{
    return outcome_of(mode, SANDBOX_SERVES, try);
}

static int try_nothing(void)
{
    return write(STDERR_FILENO, "", 0) == 0 ? 0 : 1;
}

static int try_socket(void)
{
    fd_close(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return 0;
}

static int try_internet(void)
{
    fd_close(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return 0;
}

static int try_connect(void)
{
    (void)connect(0, NULL, 0);
    return 0;
}

static int try_exec(void)
{
    (void)execl("/bin/true", "true", (char *)NULL);
    return 0;
}

static int try_fork(void)
{
    (void)fork();
    return 0;
}

static int try_ptrace(void)
{
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    return 0;
}

static int try_kill(void)
{
    (void)kill(getppid(), 0);
    return 0;
}

static int try_chmod(void)
{
    (void)chmod(folder, 0777);
    return 0;
}

static int try_executable_memory(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return 0;
}

static int try_making_executable(void)
{
    static char page[8192] __attribute__((aligned(4096)));

    (void)mprotect(page, 4096, PROT_READ | PROT_EXEC);
    return 0;
}

static int try_prctl(void)
{
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return 0;
}

static int try_more_landlock(void)
{
    (void)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return 0;
}

static const Forbidden forbidden[] = {
    {"socket", try_socket},
    {"connect", try_connect},
    {"execve", try_exec},
    {"fork", try_fork},
    {"ptrace", try_ptrace},
    {"kill", try_kill},
    {"chmod", try_chmod},
    {"mmap of executable memory", try_executable_memory},
    {"mprotect to executable memory", try_making_executable},
    {"prctl", try_prctl},
    {"landlock_create_ruleset", try_more_landlock},
};

static void test_forbidden_calls_kill(void **state)
{
    (void)state;
    assert_int_equal(outcome(SANDBOX_KILL, try_nothing), 0);
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        int result = outcome(SANDBOX_KILL, forbidden[i].try);

        if (result != -SIGSYS)
            fail_msg("%s ends with %d", forbidden[i].name, result);
    }
}

/* One that can be changed makes sockets, but of one kind. */
static void test_no_network_for_one_that_can_be_changed(void **state)
{
    (void)state;
    assert_int_equal(outcome_of(SANDBOX_KILL, SANDBOX_CHANGES, try_socket), 0);
    assert_int_equal(outcome_of(SANDBOX_KILL, SANDBOX_CHANGES, try_internet), -SIGSYS);
    assert_int_equal(outcome_of(SANDBOX_KILL, SANDBOX_CHANGES, try_exec), -SIGSYS);
}

static int tighten_and(Try *try)
{
    ErrorText error;

    return sandbox_tighten(SANDBOX_KILL, &error) < 0 ? 99 : try();
}

static int try_nothing_as_worker(void)
{
    return tighten_and(try_nothing);
}

static int try_kill_as_worker(void)
{
    return tighten_and(try_kill);
}

static int try_socket_as_worker(void)
{
    return tighten_and(try_socket);
}

static void test_worker_lacks_what_its_keeper_needs(void **state)
{
    (void)state;
    assert_int_equal(outcome_of(SANDBOX_KILL, SANDBOX_KEEPS, try_kill), 0);
    assert_int_equal(outcome_of(SANDBOX_KILL, SANDBOX_KEEPS, try_nothing_as_worker), 0);
    assert_int_equal(outcome_of(SANDBOX_KILL, SANDBOX_KEEPS, try_kill_as_worker), -SIGSYS);
    assert_int_equal(
        outcome_of(SANDBOX_KILL, SANDBOX_KEEPS | SANDBOX_CHANGES, try_socket_as_worker), 0);
}

static void test_log_allows_and_none_does(void **state)
{
    (void)state;
    assert_int_equal(outcome(SANDBOX_LOG, try_socket), 0);
    assert_int_equal(outcome(SANDBOX_NONE, try_socket), 0);
}

/* The errno of opening, or 0. */
static int open_error(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int error = fd < 0 ? errno : 0;

    fd_close(fd);
    return error;
}

static const char *in_folder(const char *name)
{
    static char path[64];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int try_reading_elsewhere(void)
{
    return open_error("/etc/passwd", O_RDONLY);
}

static int try_making_elsewhere(void)
{
    return open_error("/tmp/ivshmem-sandbox-escape", O_RDWR | O_CREAT);
}

static int try_writing_what_may_be_read(void)
{
    return open_error("/dev/null", O_WRONLY);
}

static int try_going_up(void)
{
    return open_error(in_folder("../../etc/passwd"), O_RDONLY);
}

static int try_removing_elsewhere(void)
{
    return unlink(in_folder("../" OUTSIDE)) < 0 ? errno : 0;
}

static int try_making_inside(void)
{
    return open_error(in_folder("new"), O_RDWR | O_CREAT);
}

static int try_using_inside(void)
{
    int error = open_error(in_folder("file"), O_RDWR);

    return error ? error : open_error("/dev/null", O_RDONLY);
}

static int try_removing_inside(void)
{
    return unlink(in_folder("file")) < 0 ? errno : 0;
}

static void test_files_elsewhere_are_out_of_reach(void **state)
{
    (void)state;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) {
        print_message("# this kernel has no Landlock\n"); /* cmocka's skip() is a failure in TAP */
        return;
    }
    assert_int_equal(open_error(in_folder("file"), O_RDWR | O_CREAT), 0);
    assert_int_equal(open_error("/etc/passwd", O_RDONLY), 0);
    assert_int_equal(open_error(in_folder("../" OUTSIDE), O_RDWR | O_CREAT), 0);
    assert_int_equal(outcome(SANDBOX_KILL, try_reading_elsewhere), EACCES);
    assert_int_equal(outcome(SANDBOX_KILL, try_making_elsewhere), EACCES);
    assert_int_equal(outcome(SANDBOX_KILL, try_writing_what_may_be_read), EACCES);
    assert_int_equal(outcome(SANDBOX_KILL, try_going_up), EACCES);
    assert_int_equal(outcome(SANDBOX_KILL, try_removing_elsewhere), EACCES);
    assert_int_equal(outcome(SANDBOX_KILL, try_making_inside), EACCES);
    assert_int_equal(outcome(SANDBOX_KILL, try_using_inside), 0);
    assert_int_equal(outcome(SANDBOX_KILL, try_removing_inside), 0);
    assert_int_equal(open_error(in_folder("file"), O_RDWR), ENOENT);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(in_folder("file"));
    (void)unlink(in_folder("../" OUTSIDE));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden_calls_kill),
        cmocka_unit_test(test_no_network_for_one_that_can_be_changed),
        cmocka_unit_test(test_worker_lacks_what_its_keeper_needs),
        cmocka_unit_test(test_log_allows_and_none_does),
        cmocka_unit_test(test_files_elsewhere_are_out_of_reach),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
