/* SPDX-License-Identifier: MIT */
/*
 * Where libvirt looks for the server of a <shmem> that has no <server path>: its code says
 * /var/lib/libvirt/shmem-NAME-sock, its documentation /var/lib/libvirt/shmem/shmem-NAME-sock. The
 * socket is at the first, and the second is a symbolic link to it.
 */
#pragma once

#include "daemon/settings/settings.h"
#include "util/error.h"

#define LIBVIRT_FOLDER "/var/lib/libvirt"

/** Gives a listener with a libvirt_name its path, and an owner whom QEMU runs as unless owner,
 * group or mode are set. @return false with the reason */
bool libvirt_finish(ListenerSettings *settings, ErrorText *why);

/** The documented path, in a buffer; "" if there is none. */
void libvirt_link_path(const ListenerSettings *settings, char *path, size_t size);

/** Looks for what libvirt_link() would fail at, and changes nothing. @return as it does */
int libvirt_check(const ListenerSettings *settings, ErrorText *error);

/** Makes the documented path a link to the socket, and its folder. @return 0 or a negative errno
 * with the reason */
int libvirt_link(const ListenerSettings *settings, ErrorText *error);

/** Removes the link, if it is ours. Takes any listener. */
void libvirt_unlink(const ListenerSettings *settings);
