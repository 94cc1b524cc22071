/* SPDX-License-Identifier: MIT */
/*
 * The command line of ivshmem-server: QEMU's short options with their meanings and defaults, a long
 * form of each, and what is ours. All of them stand in one table (option-table.c), from which the
 * help is made. An option that is given twice counts as it was given last; --allow-user and the
 * like add up.
 */
#pragma once

#include "daemon/process/sandbox.h"
#include "daemon/settings/policy.h"
#include "ivshmem-server.h"

#define OPTIONS_DEFAULT_PIDFILE "/var/run/ivshmem-server.pid"
#define OPTIONS_DEFAULT_CONTROL "/run/ivshmem/control" /* with a configuration */
#define OPTIONS_MAX_FOLDERS     16

typedef enum OptionsResult {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* help or version has been shown */
    OPTIONS_WRONG, /* an error has been shown */
} OptionsResult;

typedef struct Options {
    IvshmemServerConfig server;
    Policy policy;
    const char *pidfile;
    uid_t run_uid; /* (uid_t)-1: stay who we are */
    gid_t run_gid;
    SandboxMode sandbox;
    bool foreground;
    bool show_attach;
    bool no_keeper;     /* be one process, which no crash survives */
    const char *config; /* file or folder; NULL: the command line is the configuration */
    bool check_config;  /* only say what is wrong with it */
    const char *listen_folders[OPTIONS_MAX_FOLDERS]; /* where sockets can be made while it runs */
    unsigned n_listen_folders;
    bool fd_store;         /* leave everything to the service manager at the end */
    bool says_regions;     /* what is to be served is said: by a configuration or options */
    const char *take_over; /* control socket of the server to take over from; NULL: none */
    const char *control;   /* path of the control socket; NULL: there is none */
    gid_t control_gid;     /* (gid_t)-1: only the server's user may connect to it */
} Options;

/** Reads the command line. Errors are one line each on standard error. Strings point into argv. */
OptionsResult options_parse(Options *options, int argc, char **argv);
