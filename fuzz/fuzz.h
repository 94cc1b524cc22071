/* SPDX-License-Identifier: MIT */
/* What the fuzzers share: choices out of an input, and rules that hold for each. */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** What is left of an input. One that has been used up gives zeros. */
typedef struct Input {
    const uint8_t *bytes;
    size_t n;
} Input;

/** libFuzzer's entry: one input. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/** A rule: unlike assert(), it says nothing but where. Crashes are what fuzzers find. */
#define RULE(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/** The next bytes as a number in native order; zeros follow the end. */
static inline uint64_t input_number(Input *input, size_t n_bytes)
{
    size_t n = n_bytes < input->n ? n_bytes : input->n;
    uint64_t number = 0;

    for (size_t i = 0; i < n; i++)
        number |= (uint64_t)input->bytes[i] << (8 * i);
    input->bytes += n;
    input->n -= n;
    return number;
}

/** A number below n, which is at most 65536. */
static inline uint32_t input_choose(Input *input, uint32_t n)
{
    return (uint32_t)(input_number(input, n > 256 ? 2 : 1) % n);
}

/** How many descriptors this process has open; plus a constant. */
static inline int count_open_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;

    RULE(folder);
    while (readdir(folder))
        n++;
    (void)closedir(folder);
    return n;
}
