/* SPDX-License-Identifier: MIT */
#include "util/capability.h"
#include "util/testing.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the kernel says of this process elsewhere. */
static uint64_t effective(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long set = 0;
    char line[256];
    bool found = false;

    assert_non_null(file);
    while (!found && fgets(line, sizeof(line), file))
        found = sscanf(line, "CapEff: %llx", &set) == 1;
    (void)fclose(file);
    assert_true(found);
    return set;
}

/* Whether all are told as they are. */
static bool agrees(void)
{
    uint64_t set = effective();
    bool all = true;

    for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
        all &= capability_is_effective(capability) == (set >> capability & 1);
    return all;
}

static void test_as_the_kernel_says(void **state)
{
    (void)state;
    assert_true(agrees());
}

/* Every second one is given up, of those that there are: in both halves of the set. */
static void test_some_given_up(void **state)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = {0};
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        if (syscall(SYS_capget, &header, has) < 0)
            _exit(2);
        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
            has[i].effective &= 0x55555555;
        _exit(syscall(SYS_capset, &header, has) < 0 ? 3 : !agrees());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_kernel_says),
        cmocka_unit_test(test_some_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
