/* SPDX-License-Identifier: MIT */
/*
 * ivshmem-client: what its parts share. Interactive without a command, as QEMU's, and then it is a
 * client of a server; with a command, it is a peer through a port, does that and ends, for scripts.
 */
#pragma once

#include "ivshmem-port.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRAM "ivshmem-client"

/* The program's exit statuses: an interface, described in its manual. */
#define STATUS_OK      0
#define STATUS_ERROR   1
#define STATUS_TIMEOUT 2 /* what was waited for has not happened in time */

#define DEFAULT_SOCKET "/tmp/ivshmem_socket"
#define UNIX_SCHEME    "unix:" /* of a port */
#define PCI_SCHEME     "pci:"

#define ID_MAX          0xffff /* of a peer */
#define VECTOR_MAX      2047
#define DEFAULT_CONTROL "/run/ivshmem/control"

typedef struct Command Command;

typedef struct ToolOptions {
    const char *socket; /* NULL: none given */
    const char *port;   /* the same */
    const char *region; /* the same */
    const char *control;
    bool verbose;
    bool json;
    int connect_timeout_ms; /* -1: none given */
    int timeout_ms;         /* -1: none given */
    unsigned vectors;       /* 0: not known */
    unsigned given;         /* which of the TAKES_ */
    /* ping, pong */
    uint64_t count; /* 0: none given */
    int interval_ms;
    unsigned vector;
    uint64_t offset;
    bool spin;
    bool force;
    /* setup */
    const char *group; /* NULL: none given */
    bool undo;
    bool dry_run;
    const Command *command; /* NULL: interactive */
    char **arguments;       /* the command's */
    int n_arguments;
} ToolOptions;

/* Options that only some commands take. */
#define TAKES_JSON    1U
#define TAKES_TIMEOUT 2U
#define TAKES_COUNT   4U
#define TAKES_LINK    8U /* --vector */
#define TAKES_OFFSET  16U
#define TAKES_SETUP   64U /* --group, --undo, --dry-run */
#define TAKES_PING    32U /* --interval, --spin, --force */

struct Command {
    const char *name;
    const char *arguments; /* for the help */
    int min_arguments, max_arguments;
    unsigned takes;
    int (*run)(const ToolOptions *options); /* see below */
    const char *help;
};

extern const Command commands[];
extern const size_t n_commands;

/** Shows an error on standard error, in one line. Gives STATUS_ERROR. */
__attribute__((format(printf, 1, 2))) int tool_error(const char *format, ...);

/** Flushes standard output. Gives STATUS_OK, or an error that has been shown. */
int tool_flush(void);

/** Reads a number between bounds. Gives STATUS_OK, or an error that has been shown. */
int tool_number(const char *what, const char *text, uint64_t max, uint64_t *number);

/** Reads a number of bytes, such as 4096 or 4K. The same. */
int tool_size(const char *what, const char *text, uint64_t *size);

/**
 * Opens the port that the options name, within the time that they give. Errors are shown.
 *
 * @param more  read_only, no_memory and callbacks; NULL for none. Its other fields are ours
 */
int tool_open(IvshmemPort **port, const ToolOptions *options, const IvshmemPortOptions *more);

/** The same, but the error is not shown: the negative errno, and tool_last_error() says more. */
int tool_try_open(IvshmemPort **port, const ToolOptions *options, const IvshmemPortOptions *more);

/** What a port has said last that went wrong; empty if nothing did. */
const char *tool_last_error(void);

/** What is to be said besides when we could not connect, with this negative errno; may be empty. */
const char *tool_hint(const ToolOptions *options, int result);

/** For _cleanup_. */
void tool_closep(IvshmemPort **port);

/** Whether the port is a server's socket, and not a device. */
bool tool_knows_peers(const IvshmemPort *port);

/**
 * The commands. Each shows what it finds or what is wrong, and gives the exit status; standard
 * output is flushed after it.
 */
int run_list(const ToolOptions *options);
int run_ring(const ToolOptions *options);
int run_wait(const ToolOptions *options);
int run_watch(const ToolOptions *options);
int run_read(const ToolOptions *options);
int run_write(const ToolOptions *options);
int run_ping(const ToolOptions *options);
int run_pong(const ToolOptions *options);
int run_setup(const ToolOptions *options);
int run_doctor(const ToolOptions *options);

/** QEMU's client: a prompt, and a server that is waited for. */
int run_interactive(const ToolOptions *options);
