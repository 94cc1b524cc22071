/* SPDX-License-Identifier: MIT */
/* The doctor on the host: a server's socket, the server behind it, and the peers that it knows. */
#include "tools/client/doctor.h"

#include "util/cleanup.h"
#include "util/plural.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool check_file(Doctor *doctor, const char *path)
{
    struct stat status;

    if (stat(path, &status) < 0) {
        if (errno == ENOENT)
            doctor_bad(doctor, "start the server, or say with --socket where it listens",
                       "there is no %s", path);
        else
            doctor_bad(doctor, errno == EACCES ? "a folder above it may not be searched" : NULL,
                       "user %u cannot see %s: %s", (unsigned)geteuid(), path, strerror(errno));
        return false;
    }
    if (!S_ISSOCK(status.st_mode)) {
        doctor_bad(doctor, NULL, "%s is no socket", path);
        return false;
    }
    return true;
}

static void explain(Doctor *doctor, const char *path, int result)
{
    struct stat status = {0};

    (void)stat(path, &status);
    switch (result) {
    case -ECONNREFUSED:
        doctor_bad(doctor, "start it again; machines that were connected go on without it",
                   "no server listens at %s: it is dead", path);
        break;
    case -EACCES:
    case -EPERM:
        doctor_bad(doctor, "it takes the right to write to the socket",
                   "user %u may not connect to %s, which belongs to %u:%u with mode %04o",
                   (unsigned)geteuid(), path, (unsigned)status.st_uid, (unsigned)status.st_gid,
                   (unsigned)status.st_mode & 07777);
        break;
    case -ETIMEDOUT:
        doctor_bad(doctor, NULL, "the server at %s accepts and says nothing: it hangs", path);
        break;
    case -ECONNRESET:
        doctor_bad(doctor, "it may have its limit of clients, or not want this user; see its log",
                   "the server at %s hangs up", path);
        break;
    default:
        doctor_bad(doctor, NULL, "%s", *tool_last_error() ? tool_last_error() : strerror(-result));
    }
}

static void check_memory(Doctor *doctor, const IvshmemPort *port)
{
    size_t size = ivshmem_port_memory_size(port);

    if (size & (size - 1))
        doctor_bad(doctor, "QEMU needs a power of two", "the memory has %zu bytes", size);
}

static void check_vectors(Doctor *doctor, const IvshmemPort *port)
{
    unsigned ours = ivshmem_port_n_vectors(port);
    int n = ivshmem_port_peers(port, NULL, 0);
    _cleanup_free_ IvshmemPortPeer *peers = calloc(n > 0 ? (size_t)n : 1, sizeof(*peers));

    if (ours == 0)
        doctor_bad(doctor, "start it with --vectors", "the server gives no vectors");
    n = peers ? ivshmem_port_peers(port, peers, n > 0 ? (size_t)n : 0) : 0;
    for (int i = 0; i < n; i++)
        if (peers[i].n_vectors != ours)
            doctor_bad(doctor, "they are connected to sockets with different numbers",
                       "peer %u has %u vector%s, and we have %u", peers[i].id, peers[i].n_vectors,
                       plural(peers[i].n_vectors), ours);
}

static void show_setup(const char *path, const IvshmemPort *port, bool read_only)
{
    unsigned n_vectors = ivshmem_port_n_vectors(port);
    int n_peers = ivshmem_port_peers(port, NULL, 0);

    doctor_good("the server at %s has set us up: ID %d, %zu bytes of %smemory, %u vector%s, %d "
                "other peer%s",
                path, ivshmem_port_id(port), ivshmem_port_memory_size(port),
                read_only ? "read-only " : "", n_vectors, plural(n_vectors), n_peers,
                plural((uint64_t)n_peers));
}

void doctor_check_socket(Doctor *doctor, const char *path)
{
    IvshmemPortOptions want = {0};
    _cleanup_(tool_closep) IvshmemPort *port = NULL;
    int result;

    if (!check_file(doctor, path))
        return;
    result = tool_try_open(&port, doctor->options, &want);
    if (result == -EACCES && access(path, W_OK) == 0) {
        want.read_only = true;
        result = tool_try_open(&port, doctor->options, &want);
    }
    if (result < 0) {
        explain(doctor, path, result);
        return;
    }
    show_setup(path, port, want.read_only);
    check_memory(doctor, port);
    check_vectors(doctor, port);
    if (!want.read_only)
        doctor_check_peer(doctor, port);
    else if (doctor->peer >= 0)
        doctor_bad(doctor, NULL, "a peer that may only read cannot be answered");
}
