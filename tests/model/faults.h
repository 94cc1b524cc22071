/* SPDX-License-Identifier: MIT */
/* System calls that fail at random, as often as a test likes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Faults {
    uint64_t random;   /* state of the generator; the seed at first, not 0 */
    unsigned one_in;   /* a call fails once in so many times; 0: never */
    uint64_t injected; /* how many have failed */
} Faults;

extern Faults faults;

/** Puts the failing calls in the place of the real ones. */
void faults_install(void);

/** A random number below n, from the same generator. */
uint32_t faults_random(uint32_t n);
