/* SPDX-License-Identifier: MIT */
#include "tools/client/options.h"
#include "util/limits.h"
#include "util/standard.h"

const Command commands[] = {
    {"list", "", 0, 0, TAKES_JSON, run_list, "show who is connected"},
    {"ring", "PEER VECTOR|all", 1, 2, 0, run_ring, "ring a peer; 'ring all': all peers"},
    {"wait", "[VECTOR]", 0, 1, TAKES_JSON | TAKES_TIMEOUT, run_wait,
     "wait until we are rung: status 0, or 2 if not in time"},
    {"watch", "", 0, 0, TAKES_JSON, run_watch, "show what happens, until SIGINT"},
    {"ping", "PEER", 1, 1,
     TAKES_JSON | TAKES_TIMEOUT | TAKES_COUNT | TAKES_LINK | TAKES_OFFSET | TAKES_PING, run_ping,
     "measure round trips to a peer that runs pong"},
    {"pong", "", 0, 0, TAKES_TIMEOUT | TAKES_COUNT | TAKES_LINK | TAKES_OFFSET, run_pong,
     "answer pings, until SIGINT"},
    {"setup", "", 0, 0, TAKES_SETUP, run_setup,
     "in a virtual machine: let programs be woken by its devices"},
    {"doctor", "[PEER]", 0, 1, TAKES_LINK | TAKES_OFFSET, run_doctor,
     "say what is wrong; PEER must run pong, and answer"},
    {"read", "OFFSET LENGTH", 2, 2, 0, run_read, "copy from the memory to standard output"},
    {"write", "OFFSET", 1, 1, 0, run_write, "copy standard input into the memory"},
};
const size_t n_commands = sizeof(commands) / sizeof(commands[0]);

static int run_command(const ToolOptions *options)
{
    int status = options->command->run(options);

    return status == STATUS_OK ? tool_flush() : status;
}

int main(int argc, char **argv)
{
    ToolOptions options;

    standard_open();
    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_DONE:
        return tool_flush();
    case OPTIONS_WRONG:
        return STATUS_ERROR;
    case OPTIONS_RUN:
        break;
    }
    limits_raise_fds();
    return options.command ? run_command(&options) : run_interactive(&options);
}
