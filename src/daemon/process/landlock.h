/* SPDX-License-Identifier: MIT */
/* The part of the sandbox that is about files: Linux's Landlock. */
#pragma once

#include "daemon/process/sandbox.h"

/**
 * Leaves this process the access to these paths, and none to any other, for opening and removing
 * files and for TCP. PR_SET_NO_NEW_PRIVS must be set.
 *
 * @return 0, also if the kernel has no Landlock, or a negative errno
 */
int landlock_enter(const SandboxPath *paths, size_t n_paths);
