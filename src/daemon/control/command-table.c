/* SPDX-License-Identifier: MIT */
#include "daemon/control/command.h"

#include <stdint.h>

#define REGION                                                                                     \
    {                                                                                              \
        "region", ARGUMENT_STRING, false, 0, "only of this region"                                 \
    }
#define REQUIRED_REGION                                                                            \
    {                                                                                              \
        "region", ARGUMENT_STRING, true, 0, "the region's name"                                    \
    }

const Command command_table[] = {
    {"query-version", false, run_query_version, {{0}}, "the server's version"},
    {"query-commands", false, run_query_commands, {{0}}, "the commands and their arguments"},
    {"query-status", false, run_query_status, {{0}}, "the process, and what it uses"},
    {"query-regions", false, run_query_regions, {{0}}, "the regions"},
    {"query-listeners", false, run_query_listeners, {REGION}, "the listeners of the regions"},
    {"query-clients",
     false,
     run_query_clients,
     {REGION,
      {"first", ARGUMENT_INTEGER, false, INT32_MAX,
       "how many to leave out: 'next' of the answer before"}},
     "who is connected, some at a time"},
    {"query-stats", false, run_query_stats, {REGION}, "the counters of the regions"},
    {"client-disconnect",
     true,
     run_client_disconnect,
     {REQUIRED_REGION,
      {"id", ARGUMENT_INTEGER, false, 65535, "the client with this ID"},
      {"pid", ARGUMENT_INTEGER, false, INT32_MAX, "the clients of this process"}},
     "end a client's connection"},
    {"quit", true, run_quit, {{0}}, "end the server"},
};

const size_t n_commands = sizeof(command_table) / sizeof(command_table[0]);
