/* SPDX-License-Identifier: MIT */
/*
 * Sets of small numbers as arrays of 64-bit words. The caller owns the words and knows how many
 * bits are in them; bits past the last number of a set stay 0.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BITMAP_WORDS(n_bits) (((size_t)(n_bits) + 63) / 64)

static inline bool bitmap_test(const uint64_t *map, uint32_t bit)
{
    return map[bit / 64] >> (bit % 64) & 1;
}

static inline void bitmap_set(uint64_t *map, uint32_t bit)
{
    map[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void bitmap_clear(uint64_t *map, uint32_t bit)
{
    map[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

/** Puts all numbers below `n_bits` into an empty set. */
static inline void bitmap_fill(uint64_t *map, uint32_t n_bits)
{
    for (uint32_t word = 0; word < n_bits / 64; word++)
        map[word] = UINT64_MAX;
    if (n_bits % 64)
        map[n_bits / 64] = (UINT64_C(1) << (n_bits % 64)) - 1;
}

/** The lowest number in the set that is at least `from`, or `n_bits` if there is none. */
static inline uint32_t bitmap_next(const uint64_t *map, uint32_t n_bits, uint32_t from)
{
    for (uint32_t word = from / 64; from < n_bits; from = ++word * 64) {
        uint64_t bits = map[word] & (UINT64_MAX << (from % 64));

        if (bits)
            return word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return n_bits;
}

/** The lowest number of at least `from` that is *not* in the set, or `n_bits` if all of them are.
 */
static inline uint32_t bitmap_next_clear(const uint64_t *map, uint32_t n_bits, uint32_t from)
{
    for (uint32_t word = from / 64; from < n_bits; from = ++word * 64) {
        uint64_t clear = ~map[word] & (UINT64_MAX << (from % 64));

        if (clear) {
            uint32_t bit = word * 64 + (uint32_t)__builtin_ctzll(clear);

            return bit < n_bits ? bit : n_bits;
        }
    }
    return n_bits;
}

/** The lowest number that is *not* in the set, or `n_bits` if all of them are. */
static inline uint32_t bitmap_first_clear(const uint64_t *map, uint32_t n_bits)
{
    return bitmap_next_clear(map, n_bits, 0);
}

static inline uint32_t bitmap_count(const uint64_t *map, uint32_t n_bits)
{
    uint32_t n = 0;

    for (size_t word = 0; word < BITMAP_WORDS(n_bits); word++)
        n += (uint32_t)__builtin_popcountll(map[word]);
    return n;
}

/** Walks the numbers of a set in ascending order; `bit` is a uint32_t of the caller's. */
#define BITMAP_FOREACH(bit, map, n_bits)                                                           \
    for ((bit) = bitmap_next((map), (n_bits), 0); (bit) < (n_bits);                                \
         (bit) = bitmap_next((map), (n_bits), (bit) + 1))
