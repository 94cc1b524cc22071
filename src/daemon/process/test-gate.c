/* SPDX-License-Identifier: MIT */
#include "daemon/process/gate.h"

#include "util/testing.h"

#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 10000 /* looks, a millisecond apart */

#define CALLED 77 /* exit status */

/* The task with which this process is let in, or CALLED. */
static int come(uint32_t number)
{
    KeeperTask task;

    return gate_wait(number, &task) ? (int)task : CALLED;
}

/* A process that is let in with this number, whose task is its exit status. */
static pid_t start(uint32_t number)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(come(number));
    assert_true(pid > 0);
    return pid;
}

/* Whether it sleeps. */
static bool sleeps(pid_t pid)
{
    char path[64], state = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
    (void)fclose(file);
    return state == 'S';
}

static void wait_until_it_sleeps(pid_t pid)
{
    for (unsigned i = 0; i < PATIENCE && !sleeps(pid); i++)
        (void)poll(NULL, 0, 1);
    assert_true(sleeps(pid));
}

static int status_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int make(void **state)
{
    (void)state;
    return gate_make();
}

static void test_waits_until_it_is_let_in(void **state)
{
    pid_t pid = start(1);

    (void)state;
    wait_until_it_sleeps(pid);
    gate_open(1, KEEPER_END);
    assert_int_equal(status_of(pid), KEEPER_END);
}

static void test_gate_that_is_open_already(void **state)
{
    (void)state;
    gate_open(1, KEEPER_SERVE);
    assert_int_equal(come(1), KEEPER_SERVE);
    gate_open(2, KEEPER_END);
    assert_int_equal(come(2), KEEPER_END);
}

static void test_numbers_that_never_came(void **state)
{
    pid_t pid;

    (void)state;
    gate_open(1, KEEPER_SERVE);
    pid = start(4); /* 2 and 3 have ended at the gate */
    wait_until_it_sleeps(pid);
    gate_open(4, KEEPER_SERVE);
    assert_int_equal(status_of(pid), KEEPER_SERVE);
}

static void test_later_one_goes_on_waiting(void **state)
{
    pid_t first = start(1), second = start(2);

    (void)state;
    wait_until_it_sleeps(first);
    wait_until_it_sleeps(second);
    gate_open(1, KEEPER_SERVE); /* wakes both */
    assert_int_equal(status_of(first), KEEPER_SERVE);
    wait_until_it_sleeps(second);
    assert_int_equal(waitpid(second, NULL, WNOHANG), 0);
    gate_open(2, KEEPER_END);
    assert_int_equal(status_of(second), KEEPER_END);
}

static void test_tells_who_is_through(void **state)
{
    (void)state;
    assert_false(gate_is_passed(1));
    gate_pass(1);
    assert_true(gate_is_passed(1));
    assert_false(gate_is_passed(2));
    gate_pass(4);
    assert_true(gate_is_passed(2));
}

static void test_call(void **state)
{
    pid_t pid = start(1);

    (void)state;
    wait_until_it_sleeps(pid);
    gate_call();
    assert_int_equal(status_of(pid), CALLED);
    gate_listen(1);
    pid = start(1); /* it has been heard */
    wait_until_it_sleeps(pid);
    gate_open(1, KEEPER_SERVE);
    assert_int_equal(status_of(pid), KEEPER_SERVE);
}

static void test_call_before_it_waits(void **state)
{
    (void)state;
    gate_listen(1);
    gate_call();
    assert_int_equal(come(1), CALLED);
    assert_false(gate_is_open());
    gate_open(1, KEEPER_END);
    assert_true(gate_is_open());
    assert_int_equal(come(1), KEEPER_END); /* that is more urgent */
}

static void test_marks(void **state)
{
    (void)state;
    assert_false(gate_has(GATE_SERVED));
    gate_mark(GATE_SERVED);
    gate_mark(GATE_TOLD);
    assert_true(gate_has(GATE_SERVED));
    assert_false(gate_has(GATE_READY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_waits_until_it_is_let_in, make),
        cmocka_unit_test_setup(test_gate_that_is_open_already, make),
        cmocka_unit_test_setup(test_numbers_that_never_came, make),
        cmocka_unit_test_setup(test_later_one_goes_on_waiting, make),
        cmocka_unit_test_setup(test_tells_who_is_through, make),
        cmocka_unit_test_setup(test_call, make),
        cmocka_unit_test_setup(test_marks, make),
        cmocka_unit_test_setup(test_call_before_it_waits, make),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
