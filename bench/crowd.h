/* SPDX-License-Identifier: MIT */
/* The clients of the regions that are not measured: they come, read what they are told, and stay.
 */
#pragma once

#include "server.h"

/** Connects so many to each other region of a server. @return their process, for stop_child() */
pid_t crowd_start(const BenchServer *server, unsigned n_clients, unsigned n_vectors);
