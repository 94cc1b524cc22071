/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a connection: as of its connect(), from the kernel. */
#pragma once

#include "ivshmem-server.h"

typedef struct Credentials {
    IvshmemServerCredentials who; /* its groups point into ours */
    gid_t *groups;
} Credentials;

/** Never fails: what cannot be learnt is pid 0, nobody's uid and gid, and no groups. */
void credentials_get(Credentials *credentials, int sock);

/** The same in two steps, for whoever may need no groups: those are none after the first. */
void credentials_get_peer(Credentials *credentials, int sock);
void credentials_get_groups(Credentials *credentials, int sock);

void credentials_free(Credentials *credentials);

#define COMMAND_SIZE 32 /* bytes, with the final NUL: the kernel keeps 15 */

/** The name of a process's command, or "?" if it cannot be read. */
void credentials_command(pid_t pid, char command[static COMMAND_SIZE]);

/** The name that was read last. */
typedef struct CommandMemory {
    pid_t pid; /* 0: none was */
    int64_t read_at;
    char command[COMMAND_SIZE];
} CommandMemory;

/** The same, for who may ask a hundred thousand times in a second: one process's name is read again
 * after a moment only. @return valid until the next call */
const char *credentials_command_again(CommandMemory *memory, pid_t pid);
