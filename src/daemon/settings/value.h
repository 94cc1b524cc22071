/* SPDX-License-Identifier: MIT */
/*
 * Values as people write them, on the command line, in a configuration and in commands: each reader
 * gives true, or false and the reason in *why, which says nothing of where the value stood. What is
 * read is untouched then. The error is -EINVAL, or what looking a name up on this machine has
 * given.
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

bool value_number(const char *text, uint64_t min, uint64_t max, unsigned *out, ErrorText *why);

/** Bytes, at least 1; K, M, G or T may follow. */
bool value_size(const char *text, uint64_t *out, ErrorText *why);

/** Bytes of a huge page: a power of two. */
bool value_page_size(const char *text, uint64_t *out, ErrorText *why);

/** Octal, 0 to 777. */
bool value_mode(const char *text, int *out, ErrorText *why);

/** yes or no, true or false. */
bool value_bool(const char *text, bool *out, ErrorText *why);

bool value_user(const char *text, uid_t *out, ErrorText *why);
bool value_group(const char *text, gid_t *out, ErrorText *why);
