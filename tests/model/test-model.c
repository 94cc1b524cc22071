/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a real server, held against a plain model (model.h).
 *
 * MODEL_SEED and MODEL_STEPS in the environment choose the run. The seed is printed, and with the
 * same steps it gives the same run again.
 */
#include "faults.h"
#include "model.h"
#include "util/testing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

__attribute__((noreturn)) static void fail_test(const char *why)
{
    fail_msg("%s", why);
    abort(); /* it does not return, but is not declared so */
}

static const ModelDriver driver = {faults_random, fail_test};

static uint64_t seed;
static char folder[] = "/tmp/ivshmem-model-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

/* With what is in it after a failure. */
static int remove_folder(void **state)
{
    DIR *names = opendir(folder);
    const struct dirent *entry;

    (void)state;
    while (names && (entry = readdir(names)))
        (void)unlinkat(dirfd(names), entry->d_name, 0);
    if (names)
        (void)closedir(names);
    return rmdir(folder);
}

/* What must be the same in two runs that are. */
typedef struct Outcome {
    uint64_t random; /* where the generator is: each choice and each fault has moved it */
    uint64_t n_joins, n_messages, n_settled;
} Outcome;

static Outcome run_steps(ModelSetting setting, uint64_t steps)
{
    int open_before = count_open_fds();
    static Model model;
    char path[sizeof(folder) + 8];

    faults = (Faults){.random = seed};
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    model_start(&model, &driver, &setting, path);
    while (model.step < steps)
        model_step(&model);
    model_use_ids_up(&model);
    model_check_settled(&model);
    model_stop(&model);
    assert_int_equal(count_open_fds(), open_before);
    print_message("# %u vectors: %" PRIu64 " steps, %" PRIu64 " joins, %" PRIu64
                  " messages followed, %" PRIu64 " faults, %" PRIu64 " times settled, %" PRIu64
                  " recycled IDs\n",
                  setting.n_vectors, model.step, model.n_joins, model.n_messages, faults.injected,
                  model.n_settled, model.n_recycled);
    assert_true(model.n_joins > 0 && model.n_messages > 0 && faults.injected > 0);
    return (Outcome){faults.random, model.n_joins, model.n_messages, model.n_settled};
}

static void run(ModelSetting setting)
{
    (void)run_steps(setting, environment("MODEL_STEPS", getenv("IVSHMEM_LONG") ? 2500000 : 60000));
}

static void test_1_vector(void **state)
{
    (void)state;
    run((ModelSetting){.n_vectors = 1, .n_clients = 24, .n_ids = 40});
}

static void test_5_vectors(void **state)
{
    (void)state;
    run((ModelSetting){.n_vectors = 5, .n_clients = 24, .n_ids = 40});
}

/* So many that a socket does not take a few peers' worth of messages. */
static void test_150_vectors(void **state)
{
    (void)state;
    run((ModelSetting){.n_vectors = 150, .n_clients = 6, .n_ids = 12});
}

static const ModelSetting few_in_flight = {
    .n_vectors = 7, .n_clients = 20, .n_ids = 40, .allowance = 256};

static void test_few_in_flight(void **state)
{
    (void)state;
    run(few_in_flight);
}

/* With the setting that has most timers. */
static void test_same_seed_same_run(void **state)
{
    Outcome first = run_steps(few_in_flight, 3000), second = run_steps(few_in_flight, 3000);

    (void)state;
    assert_memory_equal(&first, &second, sizeof(first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_1_vector),           cmocka_unit_test(test_5_vectors),
        cmocka_unit_test(test_150_vectors),        cmocka_unit_test(test_few_in_flight),
        cmocka_unit_test(test_same_seed_same_run),
    };
    struct rlimit limit;
    struct timespec now;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    seed = environment("MODEL_SEED", (uint64_t)now.tv_nsec | 1);
    print_message("# MODEL_SEED=%" PRIu64 "\n", seed);
    faults_install();
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
