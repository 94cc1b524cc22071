/* SPDX-License-Identifier: MIT */
#include "daemon/process/journal.h"

#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define SOCKET "/run/systemd/journal/socket"

/* The service manager says which file the journal reads: standard error may have been redirected.
 * libsystemd drops what it cannot send, as in a root folder or a container of our own. */
static bool leads_to_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat found;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &found) == 0 && found.st_dev == device && found.st_ino == inode &&
           access(SOCKET, W_OK) == 0;
}

/* The first line opens libsystemd's socket, which a confined process could not. seccomp: sendmsg */
bool journal_open(void)
{
    if (!leads_to_journal())
        return false;
    journal_send(LOG_INFO, NULL, "ivshmem-server " IVSHMEM_VERSION " starts");
    return true;
}

void journal_send(int priority, const char *region, const char *line)
{
    (void)sd_journal_send("MESSAGE=%s", line, "PRIORITY=%i", priority,
                          "SYSLOG_IDENTIFIER=ivshmem-server", region ? "IVSHMEM_REGION=%s" : NULL,
                          region, NULL);
}
#else
bool journal_open(void)
{
    return false;
}

void journal_send(int priority, const char *region, const char *line)
{
    (void)priority, (void)region, (void)line;
}
#endif
