/* SPDX-License-Identifier: MIT */
/*
 * ivshmem-client: what its parts share. Interactive without a command, as QEMU's; with one, it
 * does that and ends, for scripts.
 */
#pragma once

#include "ivshmem-client.h"

#include <stdbool.h>
#include <stdint.h>

#define PROGRAM "ivshmem-client"

/* The program's exit statuses: an interface, described in its manual. */
#define STATUS_OK      0
#define STATUS_ERROR   1
#define STATUS_TIMEOUT 2 /* what was waited for has not happened in time */

#define DEFAULT_SOCKET             "/tmp/ivshmem_socket"
#define DEFAULT_CONNECT_TIMEOUT_MS 10000 /* of a command; interactive: none */

typedef struct Command Command;

typedef struct ToolOptions {
    const char *socket;
    bool verbose;
    bool json;
    int connect_timeout_ms; /* -1: none given */
    int timeout_ms;         /* -1: none given */
    unsigned vectors;       /* 0: not known */
    const Command *command; /* NULL: interactive */
    char **arguments;       /* the command's */
    int n_arguments;
} ToolOptions;

/* Options that only some commands take. */
#define TAKES_JSON    1U
#define TAKES_TIMEOUT 2U

struct Command {
    const char *name;
    const char *arguments; /* for the help */
    int min_arguments, max_arguments;
    unsigned takes;
    int (*run)(IvshmemClient *client, const ToolOptions *options); /* see below */
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
 * Prepares a client as the options say. Errors are shown.
 *
 * @param on_ring  as ivshmem_client_init() takes it
 */
int tool_init(IvshmemClient *client, const ToolOptions *options, IvshmemClientNotifCb on_ring,
              void *arg);

/**
 * Connects it, within the time that the options give.
 *
 * @param ready  wait until all peers and vectors are known
 */
int tool_connect(IvshmemClient *client, const ToolOptions *options, bool ready);

/** Rings a vector of a peer, or all of its vectors ("all"), as words say. Errors are shown. */
int tool_ring(IvshmemClient *client, const char *peer_text, const char *vector_text);

/** Rings everybody. */
int tool_ring_all(IvshmemClient *client);

/*
 * The commands. Each connects the client, which is all zeros, shows what it finds or what is wrong,
 * and gives the exit status; the client is closed, and standard output flushed, after it.
 */
int run_list(IvshmemClient *client, const ToolOptions *options);
int run_ring(IvshmemClient *client, const ToolOptions *options);
int run_wait(IvshmemClient *client, const ToolOptions *options);
int run_watch(IvshmemClient *client, const ToolOptions *options);
int run_read(IvshmemClient *client, const ToolOptions *options);
int run_write(IvshmemClient *client, const ToolOptions *options);

/** QEMU's client: a prompt, and a server that is waited for. */
int run_interactive(const ToolOptions *options);
