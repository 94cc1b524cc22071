/* SPDX-License-Identifier: MIT */
/* What another process has handed over becomes this one's own. */
#pragma once

#include "util/error.h"
#include "util/parcel.h"

/**
 * Copies the states, and writes a manifest of its own, with the numbers that the descriptors have
 * here. The other process's are not changed: it can still go on.
 *
 * @param parcel    what it names is taken out
 * @param manifest  number of the manifest there
 * @param predecessor_fd  the connection to that process, if it waits; borrowed; -1
 * @param to        what to write to, from manifest_new()
 * @return 0 or a negative errno with the reason: then the parcel is of no use any more
 */
int inherit(Parcel *parcel, int manifest, int predecessor_fd, int to, ErrorText *error);
