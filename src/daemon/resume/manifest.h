/* SPDX-License-Identifier: MIT */
/*
 * What the daemon must remember beside the states of its regions: which regions and listeners there
 * are, what they are for, and which descriptors hold all of it. A JSON text in a memfd, written
 * anew after every change of them, which is rare: whoever goes on (a next worker, a next version)
 * starts from here. Of what it says, a newer version adds to, and an older one reads what it knows.
 *
 * The file has two places for the text, and one number that says which of them counts, how long it
 * is: a process that is killed while it writes leaves the old text.
 */
#pragma once

#include "util/error.h"

#include <jansson.h>

/** @return a memfd that the caller owns, with nothing in it, or a negative errno */
int manifest_new(void);

/** Writes it. Takes `text` over. @return 0 or a negative errno: what was there is there */
int manifest_store(int fd, json_t *text);

/**
 * Reads it.
 *
 * @return the caller's; NULL with the reason: it is damaged, or no manifest that we know
 */
json_t *manifest_load(int fd, ErrorText *error);
