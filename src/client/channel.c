/* SPDX-License-Identifier: MIT */
#include "client/channel.h"

#include "util/cleanup.h"
#include "util/fdpass.h"

#include <errno.h>
#include <fcntl.h>

void channel_reset(Channel *channel)
{
    fd_close(channel->fd);
    *channel = CHANNEL_EMPTY;
}

static int fail(IvshmemClientFault *fault, IvshmemClientFault what, int r)
{
    *fault = what;
    return r;
}

/*
 * A lost descriptor was either one too many or one for which this process has no number left: the
 * kernel says MSG_CTRUNC for both. Asking for a number tells them apart.
 */
static int lost_fd(int sock, IvshmemClientFault *fault)
{
    int probe = fcntl(sock, F_DUPFD_CLOEXEC, 0);

    if (probe < 0 && (errno == EMFILE || errno == ENFILE))
        return fail(fault, IVSHMEM_CLIENT_FAULT_NO_FD_LEFT, -errno);
    fd_close(probe);
    return fail(fault, IVSHMEM_CLIENT_FAULT_MANY_FDS, -EPROTO);
}

static int ended(const Channel *channel, IvshmemClientFault *fault)
{
    if (channel->n_bytes > 0)
        return fail(fault, IVSHMEM_CLIENT_FAULT_CUT_SHORT, -EPROTO);
    return fail(fault, IVSHMEM_CLIENT_FAULT_CLOSED, -ECONNRESET);
}

/* Reads another piece of the message. Returns 1 if there was one. */
static int receive_piece(Channel *channel, int sock, IvshmemClientFault *fault)
{
    int fd;
    size_t n_fds;
    ssize_t n = fdpass_recv(sock, channel->bytes + channel->n_bytes,
                            sizeof(channel->bytes) - channel->n_bytes, &fd, 1, &n_fds);

    if (n == -EAGAIN)
        return 0;
    if (n == 0 || n == -ECONNRESET)
        return ended(channel, fault);
    if (n == -EBADMSG)
        return lost_fd(sock, fault);
    if (n < 0)
        return fail(fault, IVSHMEM_CLIENT_FAULT_SYSTEM, (int)n);
    channel->n_bytes += (size_t)n;
    if (n_fds > 0 && channel->fd >= 0) {
        fd_close(fd);
        return fail(fault, IVSHMEM_CLIENT_FAULT_MANY_FDS, -EPROTO);
    }
    if (n_fds > 0)
        channel->fd = fd;
    return 1;
}

int channel_receive(Channel *channel, int sock, int64_t *value, int *fd, IvshmemClientFault *fault)
{
    while (channel->n_bytes < sizeof(channel->bytes)) {
        int r = receive_piece(channel, sock, fault);

        if (r <= 0)
            return r;
    }
    *value = wire_decode(channel->bytes);
    *fd = fd_steal(&channel->fd);
    channel->n_bytes = 0;
    return 1;
}
