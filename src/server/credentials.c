/* SPDX-License-Identifier: MIT */
#include "server/credentials.h"

#include "util/cleanup.h"
#include "util/deadline.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define REMEMBERED INT64_C(100000000) /* ns; a process may change its name */

/* The supplementary groups; *n is 0 if they cannot be had. The caller's. */
static gid_t *get_groups(int sock, size_t *n)
{
    _cleanup_free_ gid_t *groups = NULL;
    socklen_t size = 0;

    *n = 0;
    /* The kernel says how much it needs. A process may change its groups: but not those of its
     * connection. */
    if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
        return NULL;
    groups = malloc(size);
    if (!groups || getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return NULL;
    *n = size / sizeof(*groups);
    return ptr_steal(groups);
}

/* seccomp: getsockopt */
void credentials_get_peer(Credentials *credentials, int sock)
{
    struct ucred peer = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t size = sizeof(peer);

    (void)getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    *credentials = (Credentials){.who = {peer.pid, peer.uid, peer.gid, NULL, 0}};
}

void credentials_get_groups(Credentials *credentials, int sock)
{
    credentials->groups = get_groups(sock, &credentials->who.n_groups);
    credentials->who.groups = credentials->groups;
}

void credentials_get(Credentials *credentials, int sock)
{
    credentials_get_peer(credentials, sock);
    credentials_get_groups(credentials, sock);
}

void credentials_free(Credentials *credentials)
{
    free(credentials->groups);
    credentials->groups = NULL;
}

/* seccomp: openat open read close */
void credentials_command(pid_t pid, char command[static COMMAND_SIZE])
{
    char path[32];
    _cleanup_close_ int fd = -1;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, command, COMMAND_SIZE - 1);
    command[n < 0 ? 0 : n] = '\0';
    command[strcspn(command, "\n")] = '\0';
    if (!*command)
        strcpy(command, "?");
    /* Its owner has chosen it: it must not write our log for us. */
    for (char *c = command; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '?';
}

const char *credentials_command_again(CommandMemory *memory, pid_t pid)
{
    int64_t now = deadline_now();

    if (memory->pid != pid || pid == 0 || now - memory->read_at >= REMEMBERED) {
        credentials_command(pid, memory->command);
        memory->pid = pid;
        memory->read_at = now;
    }
    return memory->command;
}
