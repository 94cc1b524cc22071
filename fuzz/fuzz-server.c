/* SPDX-License-Identifier: MIT */
/*
 * The server under clients that connect, stall, read a bit, write, shut down and die, with system
 * calls that fail: tests/model/model.h, where an input makes the choices. Its first bytes say how
 * large everything is and how the failing calls are drawn.
 */
#include "fuzz.h"
#include "model/faults.h"
#include "model/model.h"

#include <sys/resource.h>
#include <unistd.h>

#define STEPS_MAX 5000
#define FDS_MAX   8192 /* enough for each setting; the server looks at all numbers when it starts */

static const ModelSetting settings[] = {
    {.n_vectors = 1, .n_clients = 24, .n_ids = 40},
    {.n_vectors = 5, .n_clients = 12, .n_ids = 16},
    {.n_vectors = 2, .n_clients = 3, .n_ids = 3},
    {.n_vectors = 150, .n_clients = 4, .n_ids = 8},
    {.n_vectors = 7, .n_clients = 20, .n_ids = 40, .allowance = 256},
};

static Input input;

static uint32_t choose(uint32_t n)
{
    return input_choose(&input, n);
}

__attribute__((noreturn)) static void fail(const char *why)
{
    (void)fprintf(stderr, "%s\n", why);
    abort();
}

static const ModelDriver driver = {choose, fail};

static void prepare(void)
{
    struct rlimit limit;

    RULE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max > FDS_MAX)
        limit.rlim_cur = FDS_MAX;
    RULE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    faults_install();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static Model model;
    static bool prepared;
    int open_before = count_open_fds();
    const ModelSetting *setting;
    char path[64];

    if (!prepared)
        prepare();
    prepared = true;
    input = (Input){bytes, n};
    setting = &settings[input_choose(&input, sizeof(settings) / sizeof(settings[0]))];
    faults = (Faults){.random = input_number(&input, 4) + 1};
    (void)snprintf(path, sizeof(path), "fuzz-server-%d", (int)getpid());
    model_start(&model, &driver, setting, path);
    while (input.n > 0 && model.step < STEPS_MAX)
        model_step(&model);
    model_check_settled(&model);
    model_stop(&model);
    RULE(count_open_fds() == open_before);
    return 0;
}
