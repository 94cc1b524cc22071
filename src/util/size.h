/* SPDX-License-Identifier: MIT */
/* Sizes and counts as people write them. Pure. */
#pragma once

#include <stdint.h>

#define SIZE_TEXT_MAX 32 /* bytes that size_format needs at most */

/**
 * Reads a number of bytes: decimal digits, then nothing or one of K, M, G, T (of either case,
 * powers of 1024). Anything else before, between or after is refused.
 *
 * @return 0, -EINVAL if it is not a size, -ERANGE if it does not fit 64 bits; *out is untouched
 * then
 */
int size_parse(const char *text, uint64_t *out);

/**
 * The next power of two, or the size itself if it is one.
 *
 * @return 0, -EINVAL for 0, -ERANGE above 2^63
 */
int size_round_up(uint64_t size, uint64_t *out);

/** Writes "4M", "5000" or whatever is shortest and exact. */
void size_format(uint64_t size, char text[static SIZE_TEXT_MAX]);

/**
 * Reads a decimal number between two bounds, with nothing around it and no sign.
 *
 * @return 0, -EINVAL if it is not a number, -ERANGE if it is out of bounds; *out is untouched then
 */
int count_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out);
