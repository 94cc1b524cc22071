/* SPDX-License-Identifier: MIT */
#include "daemon/libvirt.h"

#include "daemon/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOCUMENTED_FOLDER LIBVIRT_FOLDER "/shmem"

/* Whom distributions run libvirt's QEMU as. */
static const char *const users[] = {"libvirt-qemu", "qemu"};

static bool find_user(uid_t *uid)
{
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
        if (names_find_user(users[i], uid) == 0)
            return true;
    return false;
}

bool libvirt_finish(ListenerSettings *settings, ErrorText *why)
{
    IvshmemServerListenerConfig *config = &settings->config;
    bool is_open = config->socket_uid != (uid_t)-1 || config->socket_gid != (gid_t)-1 ||
                   config->socket_mode >= 0;
    int n = snprintf(settings->path, sizeof(settings->path), LIBVIRT_FOLDER "/shmem-%s-sock",
                     settings->libvirt_name);

    if (n < 0 || (size_t)n >= sizeof(settings->path)) {
        (void)error_set(why, -ENAMETOOLONG, "libvirt-name '%s' is too long",
                        settings->libvirt_name);
        return false;
    }
    if (is_open)
        return true;
    if (!find_user(&config->socket_uid)) {
        (void)error_set(why, -ENOENT,
                        "there is neither a user libvirt-qemu nor qemu: owner, group or mode must "
                        "say who is to connect");
        return false;
    }
    config->socket_mode = 0600;
    return true;
}

static void name_link(const ListenerSettings *settings, char path[static PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, DOCUMENTED_FOLDER "/shmem-%s-sock", settings->libvirt_name);
}

static bool is_ours(const ListenerSettings *settings, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0)
        return false;
    target[n] = '\0';
    return strcmp(target, settings->path) == 0;
}

/* seccomp-change: mkdir mkdirat symlink symlinkat */
int libvirt_link(const ListenerSettings *settings, ErrorText *error)
{
    char path[PATH_MAX];

    if (!*settings->libvirt_name)
        return 0;
    name_link(settings, path);
    if (mkdir(DOCUMENTED_FOLDER, 0755) < 0 && errno != EEXIST)
        return error_set(error, -errno, "cannot make the folder %s: %s", DOCUMENTED_FOLDER,
                         strerror(errno));
    if (symlink(settings->path, path) < 0 && (errno != EEXIST || !is_ours(settings, path)))
        return error_set(error, -errno, "cannot make the link %s: %s", path, strerror(errno));
    return 0;
}

/* seccomp-change: readlink readlinkat unlink unlinkat */
void libvirt_unlink(const ListenerSettings *settings)
{
    char path[PATH_MAX];

    if (!*settings->libvirt_name)
        return;
    name_link(settings, path);
    if (is_ours(settings, path))
        (void)unlink(path);
}
