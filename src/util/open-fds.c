/* SPDX-License-Identifier: MIT */
#include "util/open-fds.h"

#include "util/bitmap.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>

#define POLLED_MAX 1024 /* numbers at a time: 8 KiB */

/* poll() looks at many numbers at once and needs no /proc; a listing of /proc/self/fd takes a
 * hundred times as long where there are thousands. seccomp: poll ppoll prlimit64 getrlimit */
int open_fds_keep(uint64_t *set, uint32_t n)
{
    struct pollfd polled[POLLED_MAX];
    struct rlimit limit;
    nfds_t most = POLLED_MAX;
    uint32_t fd = bitmap_next(set, n, 0);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < most)
        most = limit.rlim_cur; /* poll() takes no more */
    while (fd < n) {
        nfds_t n_polled = 0;

        for (; n_polled < most && fd < n; fd = bitmap_next(set, n, fd + 1))
            polled[n_polled++] = (struct pollfd){.fd = (int)fd};
        if (n_polled == 0 || poll(polled, n_polled, 0) < 0)
            return n_polled ? -errno : -EMFILE;
        while (n_polled-- > 0)
            if (polled[n_polled].revents & POLLNVAL)
                bitmap_clear(set, (uint32_t)polled[n_polled].fd);
    }
    return 0;
}
