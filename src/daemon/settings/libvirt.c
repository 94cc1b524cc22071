/* SPDX-License-Identifier: MIT */
#include "daemon/settings/libvirt.h"

#include "daemon/settings/names.h"

#include <errno.h>
#include <fcntl.h>
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

void libvirt_link_path(const ListenerSettings *settings, char *path, size_t size)
{
    *path = '\0';
    if (*settings->libvirt_name)
        (void)snprintf(path, size, DOCUMENTED_FOLDER "/shmem-%s-sock", settings->libvirt_name);
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
    libvirt_link_path(settings, path, sizeof(path));
    if (mkdir(DOCUMENTED_FOLDER, 0755) < 0 && errno != EEXIST)
        return error_set(error, -errno, "cannot make the folder %s: %s", DOCUMENTED_FOLDER,
                         strerror(errno));
    if (symlink(settings->path, path) < 0 && (errno != EEXIST || !is_ours(settings, path)))
        return error_set(error, -errno, "cannot make the link %s: %s", path, strerror(errno));
    return 0;
}

int libvirt_check(const ListenerSettings *settings, ErrorText *error)
{
    char path[PATH_MAX];
    bool has_folder = access(DOCUMENTED_FOLDER, F_OK) == 0;
    struct stat found;

    if (!*settings->libvirt_name)
        return 0;
    libvirt_link_path(settings, path, sizeof(path));
    if (!has_folder && faccessat(AT_FDCWD, LIBVIRT_FOLDER, W_OK | X_OK, AT_EACCESS) < 0)
        return error_set(error, -errno, "cannot make the folder %s: %s", DOCUMENTED_FOLDER,
                         strerror(errno));
    if (!has_folder)
        return 0;
    if (lstat(path, &found) == 0 && !is_ours(settings, path))
        errno = EEXIST;
    else if (is_ours(settings, path) ||
             faccessat(AT_FDCWD, DOCUMENTED_FOLDER, W_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    return error_set(error, -errno, "cannot make the link %s: %s", path, strerror(errno));
}

/* seccomp-change: readlink readlinkat unlink unlinkat */
void libvirt_unlink(const ListenerSettings *settings)
{
    char path[PATH_MAX];

    if (!*settings->libvirt_name)
        return;
    libvirt_link_path(settings, path, sizeof(path));
    if (is_ours(settings, path))
        (void)unlink(path);
}
