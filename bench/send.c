/* SPDX-License-Identifier: MIT */
#include "send.h"

#include "common.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

void sender_init(Sender *sender)
{
    *sender = (Sender){0};
    for (unsigned i = 0; i < SEND_BATCH; i++) {
        sender->vectors[i] = (struct iovec){&sender->values[i], sizeof(sender->values[i])};
        sender->headers[i].msg_hdr.msg_iov = &sender->vectors[i];
        sender->headers[i].msg_hdr.msg_iovlen = 1;
        sender->controls[i].align.cmsg_level = SOL_SOCKET;
        sender->controls[i].align.cmsg_type = SCM_RIGHTS;
        sender->controls[i].align.cmsg_len = CMSG_LEN(sizeof(int));
    }
}

void sender_add(Sender *sender, int64_t value, int fd)
{
    struct msghdr *header = &sender->headers[sender->n].msg_hdr;

    sender->values[sender->n] = htole64((uint64_t)value);
    header->msg_control = fd < 0 ? NULL : &sender->controls[sender->n];
    header->msg_controllen = fd < 0 ? 0 : sizeof(sender->controls[0]);
    memcpy(CMSG_DATA(&sender->controls[sender->n].align), &fd, sizeof(fd));
    sender->n++;
}

void sender_send(Sender *sender, int sock)
{
    for (unsigned done = 0; done < sender->n;) {
        int sent = sendmmsg(sock, sender->headers + done, sender->n - done, MSG_NOSIGNAL);

        if (sent < 0 && errno != EINTR)
            die("sendmmsg");
        if (sent > 0)
            done += (unsigned)sent;
    }
}
