/* SPDX-License-Identifier: MIT */
#include "util/parcel.h"

#include "util/cleanup.h"
#include "util/fdpass.h"

#include <string.h>

#define MOST_NUMBERS (1U << 24) /* descriptors are below; fs.nr_open is 2^20 */

typedef struct Message {
    uint32_t left;
    uint32_t zero;
    int32_t numbers[FDPASS_MAX_FDS];
} Message;

static size_t size_of(size_t n)
{
    return offsetof(Message, numbers) + n * sizeof(int32_t);
}

int parcel_send(int sock, const int *fds, uint32_t n)
{
    uint32_t sent = 0;

    do {
        uint32_t now = n - sent < FDPASS_MAX_FDS ? n - sent : FDPASS_MAX_FDS;
        Message message = {.left = n - sent - now};
        ssize_t r;

        for (uint32_t i = 0; i < now; i++)
            message.numbers[i] = fds[sent + i];
        r = fdpass_send(sock, &message, size_of(now), message.numbers, now);
        if (r < 0)
            return sent ? (int)sent : (int)r;
        sent += now;
    } while (sent < n);
    return (int)sent;
}

static int make_room(Parcel *parcel, uint32_t number)
{
    uint32_t n = number + number / 2 + 64;
    int32_t *more;

    if (number < parcel->n)
        return 0;
    more = number < MOST_NUMBERS ? reallocarray(parcel->here, n, sizeof(*more)) : NULL;
    if (!more)
        return -ENOMEM;
    memset(more + parcel->n, -1, (n - parcel->n) * sizeof(*more));
    parcel->here = more;
    parcel->n = n;
    return 0;
}

/* Closes the descriptor if there is no place for it. */
static int put(Parcel *parcel, int32_t there, int fd)
{
    if (there < 0 || make_room(parcel, (uint32_t)there) < 0 ||
        (parcel->here[there] >= 0 && !parcel->is_renewed)) {
        fd_close(fd);
        return -EBADMSG;
    }
    if (parcel->here[there] >= 0)
        fd_close(parcel->here[there]);
    else
        parcel->n_fds++;
    parcel->here[there] = fd;
    parcel->n_came++;
    return 0;
}

typedef ssize_t Receive(int sock, void *bytes, size_t n_bytes, int *fds, size_t max_fds,
                        size_t *n_fds);

static int receive(Parcel *parcel, int sock, uint32_t *left, Receive *how)
{
    Message message;
    int fds[FDPASS_MAX_FDS], r = 0;
    size_t n;
    ssize_t length = how(sock, &message, sizeof(message), fds, FDPASS_MAX_FDS, &n);

    if (length <= 0)
        return length < 0 ? (int)length : -ECONNRESET;
    if ((size_t)length != size_of(n) || message.zero || (n == 0 && message.left))
        r = -EBADMSG;
    for (size_t i = 0; i < n; i++) {
        if (r < 0)
            fd_close(fds[i]);
        else
            r = put(parcel, message.numbers[i], fds[i]);
    }
    if (r == 0)
        *left = message.left;
    return r;
}

int parcel_receive(Parcel *parcel, int sock, uint32_t *left)
{
    return receive(parcel, sock, left, fdpass_recv);
}

int parcel_peek(Parcel *parcel, int sock, uint32_t *n_fds)
{
    const int offset = 0;
    uint32_t left;
    int r = setsockopt(sock, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) < 0 ? -errno : 0;

    while (r == 0) {
        uint32_t before = parcel->n_fds;

        r = receive(parcel, sock, &left, fdpass_peek);
        if (r == 0 && left + parcel->n_fds - before > *n_fds)
            *n_fds = left + parcel->n_fds - before;
    }
    return r == -ECONNRESET || r == -EAGAIN ? 0 : r;
}

void parcel_expect(Parcel *parcel, uint32_t number)
{
    (void)make_room(parcel, number);
}

int parcel_at(const Parcel *parcel, int there)
{
    return there < 0 || (uint32_t)there >= parcel->n ? -1 : parcel->here[there];
}

int parcel_take(Parcel *parcel, int there)
{
    int fd = parcel_at(parcel, there);

    if (fd >= 0) {
        parcel->here[there] = -1;
        parcel->n_fds--;
    }
    return fd;
}

void parcel_leave(Parcel *parcel)
{
    free(parcel->here);
    *parcel = (Parcel){0};
}

void parcel_free(Parcel *parcel)
{
    for (uint32_t i = 0; i < parcel->n; i++)
        fd_close(parcel->here[i]);
    parcel_leave(parcel);
}
