/* SPDX-License-Identifier: MIT */
#include "daemon/attach.h"

#include "util/size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The client lies beside us: it is named as we were, by a folder or for $PATH to find it. */
static int client_folder(void)
{
    const char *slash = strrchr(program_invocation_name, '/');

    return slash ? (int)(slash + 1 - program_invocation_name) : 0;
}

void attach_show(const IvshmemServer *server)
{
    char resolved[PATH_MAX], size[SIZE_TEXT_MAX];
    const char *path = realpath(server->unix_sock_path, resolved);
    unsigned n = server->n_vectors;

    path = path ? path : server->unix_sock_path;
    size_format(server->shm_size, size);
    (void)printf("Listening at %s: %s of shared memory, %u vector%s a peer.\n\n", path, size, n,
                 n == 1 ? "" : "s");
    (void)printf("QEMU:\n"
                 "  -chardev socket,path=%s,id=ivshmem \\\n"
                 "  -device ivshmem-doorbell,chardev=ivshmem,vectors=%u\n\n",
                 path, n);
    (void)printf("libvirt, within <devices>:\n"
                 "  <shmem name='ivshmem'>\n"
                 "    <model type='ivshmem-doorbell'/>\n"
                 "    <server path='%s'/>\n"
                 "    <msi vectors='%u'/>\n"
                 "  </shmem>\n\n",
                 path, n);
    (void)printf("A process on this host:\n"
                 "  %.*sivshmem-client -S %s\n\n",
                 client_folder(), program_invocation_name, path);
    (void)printf("Ctrl-C ends the server.\n");
    (void)fflush(stdout);
}
