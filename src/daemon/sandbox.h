/* SPDX-License-Identifier: MIT */
/*
 * The stage "confine": after it, the process can only serve.
 *
 * It should leave the system calls that the loop needs (the list is gathered at build time from the
 * comments that say "seccomp:" beside the code that makes them), and of the file system what has to
 * be opened again or removed at the end (Landlock, where the kernel has it). It must not be needed
 * for correctness: with --sandbox=none everything works the same.
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum SandboxMode {
    SANDBOX_KILL, /* a call that is not on the list ends the process */
    SANDBOX_LOG,  /* it is allowed, and in the kernel's log */
    SANDBOX_NONE,
} SandboxMode;

/** A folder or file, and what may be done with what is in it. */
typedef struct SandboxPath {
    const char *path; /* one that does not exist is skipped */
    bool read, write, remove, list;
} SandboxPath;

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_DEFAULT SANDBOX_NONE /* the sanitizers' own system calls are not on the list */
#else
#define SANDBOX_DEFAULT SANDBOX_KILL
#endif

/**
 * Confines this process and its children.
 *
 * @param is_keeper  it is going to start workers (keeper.h): what that needs stays, too
 * @return 0 or a negative errno. A kernel without Landlock is no error.
 */
int sandbox_enter(SandboxMode mode, const SandboxPath *paths, size_t n_paths, bool is_keeper,
                  ErrorText *error);

/** In a worker: takes what only a keeper needs. @return 0 or a negative errno */
int sandbox_tighten(SandboxMode mode, ErrorText *error);
