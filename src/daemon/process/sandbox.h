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
    bool read, write, remove;
    bool list; /* names of what is in it */
    bool make; /* files, sockets, links and folders */
} SandboxPath;

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_DEFAULT SANDBOX_NONE /* the sanitizers' own system calls are not on the list */
#else
#define SANDBOX_DEFAULT SANDBOX_KILL
#endif

/** What more than serving a process is going to do. */
typedef enum SandboxNeeds {
    SANDBOX_SERVES = 0,
    SANDBOX_CHANGES = 1,  /* regions and listeners are made: "seccomp-change:" */
    SANDBOX_KEEPS = 2,    /* workers are started (keeper.h): "seccomp-keeper:" */
    SANDBOX_INHERITS = 4, /* another process is taken over from: "seccomp-successor:" */
} SandboxNeeds;

/**
 * Confines this process and its children.
 *
 * @param needs  of SandboxNeeds, added up
 * @return 0 or a negative errno. A kernel without Landlock is no error.
 */
int sandbox_enter(SandboxMode mode, unsigned needs, const SandboxPath *paths, size_t n_paths,
                  ErrorText *error);

/** In a worker, of a process that has been confined with SANDBOX_KEEPS: takes what only a keeper,
 * or a process that inherits, needs. @return 0 or a negative errno */
int sandbox_tighten(SandboxMode mode, ErrorText *error);
