/* SPDX-License-Identifier: MIT */
/*
 * Reading the configuration again: what nobody who is connected is hurt by is done, the rest is
 * left and said. Regions and listeners that commands have made are not the configuration's, and
 * stay.
 */
#pragma once

#include "daemon/settings/problems.h"
#include "util/error.h"

struct Config;
struct Daemon;

typedef struct Reload {
    Problems done; /* a line for each change */
    Problems left; /* a line for what could not be done */
} Reload;

/** @return 0, or a negative errno with the reason and nothing has changed: there is no
 * configuration, or something in it is wrong */
int reload_config(struct Daemon *daemon, Reload *reload, ErrorText *error);

/** Applies a configuration that has no problems; its regions may be moved out of it. */
void reload_apply(struct Daemon *daemon, struct Config *config, Reload *reload);

/** A reload that was under way (daemon->n_reloads) is so no longer. */
void reload_give_up(struct Daemon *daemon);

/** Logs what was left, as warnings, and what was done, with this priority. */
void reload_report(const Reload *reload, int done);

void reload_free(Reload *reload);
