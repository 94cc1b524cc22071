/* SPDX-License-Identifier: MIT */
/*
 * crash-crowd SOCKET CLIENTS VECTORS SEED [silent]
 *
 * A crowd (crowd.h) that goes on until a line comes on standard input, at which it settles, answers
 * with what it has seen so far, a line of JSON, and stands still until the next line. At the end of
 * standard input all leave. With `silent` nobody rings, and there can be more of them. Status 1 and
 * a line on standard error if the server has done anything wrong.
 */
#include "crowd.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STEPS_AT_ONCE 16 /* between two looks at standard input */

static void report(Crowd *crowd)
{
    (void)printf("{\"clients\": %u, \"joins\": %" PRIu64 ", \"messages\": %" PRIu64
                 ", \"rings\": %" PRIu64 ", \"longest_wait\": %.6f}\n",
                 crowd_count(crowd), crowd->n_joins, crowd->n_messages, crowd->n_rings,
                 (double)crowd->longest_wait / 1e9);
    (void)fflush(stdout);
}

/* False at its end. */
static bool read_line(void)
{
    char byte;

    do {
        if (read(STDIN_FILENO, &byte, 1) != 1)
            return false;
    } while (byte != '\n');
    return true;
}

static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    Crowd crowd;

    if (argc < 5 || argc > 6)
        crowd_fail("usage: crash-crowd SOCKET CLIENTS VECTORS SEED [silent]");
    raise_limit();
    crowd_init(&crowd, argv[1], (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]),
               strtoull(argv[4], NULL, 10));
    crowd.drops_fds = argc == 6;
    for (;;) {
        if (poll(&input, 1, 0) > 0) {
            if (!read_line())
                break;
            crowd_settle(&crowd);
            report(&crowd);
            if (!read_line())
                break;
        }
        for (unsigned i = 0; i < STEPS_AT_ONCE; i++)
            crowd_step(&crowd);
    }
    crowd_free(&crowd);
    return EXIT_SUCCESS;
}
