/* SPDX-License-Identifier: MIT */
/*
 * One program at a time that the guest agent runs, with what it has printed. Functions give 0 or a
 * negative errno unless they say otherwise.
 */
#pragma once

#include <stdio.h>

/** What the next one has on its standard input, in hexadecimal digits; NULL: nothing. */
int program_given(const char *digits);

/** As which user and group the next ones run. */
void program_user(unsigned id);

/** Starts one. The words end with NULL; the first is the path. */
int program_start(char **words);

/** Waits until it has printed a text to its standard output. */
int program_until(const char *text, int timeout_ms);

int program_signal(int number);

/** Waits for its end. @return its exit status, 128 and a signal's number, or a negative errno */
int program_finish(int timeout_ms);

/** Prints what it has printed, as hexadecimal digits behind '=': standard output, then error. */
void program_print(FILE *out);
