/* SPDX-License-Identifier: MIT */
/* What another process has handed over becomes this one's own. */
#pragma once

#include "ivshmem-server.h"
#include "util/error.h"
#include "util/parcel.h"

/** The copy of a region's state that was begun while the other process served. */
typedef struct InheritedState {
    IvshmemServerImport *import;
    int fd; /* the copy's memfd; -1: it has been taken out */
} InheritedState;

/** What has come from another process. All zero is nothing. */
typedef struct Inheritance {
    Parcel ahead; /* what came while it served, of clients that may have left since */
    Parcel rest;  /* all else */
    InheritedState *states;
    unsigned n_states;
} Inheritance;

/**
 * Begins to copy the states that are in the parcel `ahead`, while the other process still serves.
 * What cannot be copied is left for inherit().
 *
 * @param manifest_fd  what it serves, in its own words; it names the copies then
 */
void inherit_ahead(Inheritance *inheritance, int manifest_fd);

/**
 * Copies the states, and writes a manifest of its own, with the numbers that the descriptors have
 * here. The other process's are not changed: it can still go on.
 *
 * @param inheritance  what is named is taken out. What came ahead and is not is closed, and so are
 *                     copies that are not needed; the rest stays open
 * @param manifest     number of the manifest there
 * @param predecessor_fd  the connection to that process, if it waits; borrowed; -1
 * @param to           what to write to, from manifest_new()
 * @return 0 or a negative errno with the reason: then the inheritance is of no use any more
 */
int inherit(Inheritance *inheritance, int manifest, int predecessor_fd, int to, ErrorText *error);

/** Closes and frees all that was not taken out. After inherit() there is only memory, which can be
 * freed at any time. */
void inheritance_free(Inheritance *inheritance);
