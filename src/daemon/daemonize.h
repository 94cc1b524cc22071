/* SPDX-License-Identifier: MIT */
#pragma once

/**
 * Goes on in a child process with a session of its own, while the parent waits for what the child
 * says and then exits: with 0 if the child is ready, else with 1. So whoever started the daemon
 * goes on when it can be used, and sees its errors. The working directory stays: paths may be
 * relative.
 *
 * @return in the child, the fd to hand to daemonize_done(); a negative errno if there is no child
 */
int daemonize(void);

/** The daemon is ready: lets the parent exit, and standard input and output go. */
void daemonize_done(int fd);
