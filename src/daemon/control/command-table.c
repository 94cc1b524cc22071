/* SPDX-License-Identifier: MIT */
#include "daemon/control/command.h"

#include <stdint.h>

#define REGION                                                                                     \
    {                                                                                              \
        "region", ARGUMENT_STRING, false, 0, "only of this region"                                 \
    }
#define FORCE                                                                                      \
    {                                                                                              \
        "force", ARGUMENT_BOOLEAN, false, 0, "disconnect its clients"                              \
    }
#define REQUIRED_REGION                                                                            \
    {                                                                                              \
        "region", ARGUMENT_STRING, true, 0, "the region's name"                                    \
    }

const Command command_table[] = {
    {"query-version", false, run_query_version, {{0}}, "the server's version", NULL},
    {"query-commands", false, run_query_commands, {{0}}, "the commands and their arguments", NULL},
    {"query-status", false, run_query_status, {{0}}, "the process, and what it uses", NULL},
    {"query-regions", false, run_query_regions, {{0}}, "the regions", NULL},
    {"query-listeners", false, run_query_listeners, {REGION}, "the listeners of the regions", NULL},
    {"query-clients",
     false,
     run_query_clients,
     {REGION,
      {"first", ARGUMENT_INTEGER, false, INT32_MAX,
       "how many to leave out: 'next' of the answer before"}},
     "who is connected, some at a time",
     NULL},
    {"query-stats", false, run_query_stats, {REGION}, "the counters of the regions", NULL},
    {"client-disconnect",
     true,
     run_client_disconnect,
     {REQUIRED_REGION,
      {"id", ARGUMENT_INTEGER, false, 65535, "the client with this ID"},
      {"pid", ARGUMENT_INTEGER, false, INT32_MAX, "the clients of this process"}},
     "end a client's connection",
     NULL},
    {"region-add",
     true,
     run_region_add,
     {{"region", ARGUMENT_STRING, true, 0, "its name"}},
     "make a region, with a listener for observers",
     &region_keys},
    {"region-remove",
     true,
     run_region_remove,
     {REQUIRED_REGION, FORCE},
     "remove a region that has no clients",
     NULL},
    {"listener-add",
     true,
     run_listener_add,
     {REQUIRED_REGION, {"name", ARGUMENT_STRING, true, 0, "its name"}},
     "make a listener",
     &listener_keys},
    {"listener-remove",
     true,
     run_listener_remove,
     {REQUIRED_REGION, {"name", ARGUMENT_STRING, true, 0, "the listener's name"}, FORCE},
     "remove a listener that has no clients",
     NULL},
    {"reload", true, run_reload, {{0}}, "read the configuration again", NULL},
    {"query-manifest",
     true,
     run_query_manifest,
     {{0}},
     "what take-over would hand over: settings, and numbers of descriptors",
     NULL},
    {"take-over",
     true,
     run_take_over,
     {{0}},
     "hand everything to the process that asks, and end (see ivshmem-server --take-over)",
     NULL},
    {"quit", true, run_quit, {{0}}, "end the server", NULL},
};

const size_t n_commands = sizeof(command_table) / sizeof(command_table[0]);
