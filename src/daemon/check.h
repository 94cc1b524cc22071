/* SPDX-License-Identifier: MIT */
/*
 * What a configuration lacks on this machine: what a start here would fail at, as far as it can be
 * known without making, opening to others, or asking anything that would notice. A server that runs
 * with the same control socket is taken for one that has this configuration: what it listens at and
 * has reserved is its own.
 */
#pragma once

#include "daemon/passed.h"
#include "daemon/settings/config.h"
#include "daemon/settings/options.h"

/** Adds to the problems of a configuration that has been read. Its regions get their shares of
 * clients by it. */
void check_machine(Config *config, const ConfigContext *context, const Options *options,
                   const Passed *passed);
