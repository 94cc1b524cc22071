/* SPDX-License-Identifier: MIT */
#include "accept-floor.h"

#include "common.h"
#include "send.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

void floor_fan_out(const int *socks, unsigned n, unsigned n_vectors)
{
    static Sender sender;
    int doorbell = eventfd(0, EFD_CLOEXEC);

    sender_init(&sender);
    for (unsigned i = 0; i < n_vectors && i < SEND_BATCH; i++)
        sender_add(&sender, 1, doorbell);
    for (;;)
        for (unsigned i = 0; i < n; i++)
            sender_send(&sender, socks[i]);
}

void floor_accept(int listener)
{
    static Sender sender;
    int memory = memfd_create("bench", MFD_CLOEXEC);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

    sender_init(&sender);
    sender_add(&sender, 0, -1);
    sender_add(&sender, 0, -1);
    sender_add(&sender, -1, memory);
    if (memory < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
        die("the floor cannot start");
    while (epoll_wait(epoll_fd, &event, 1, -1) == 1) {
        int sock = event.data.fd;

        if (sock != listener) {
            (void)close(sock);
            continue;
        }
        sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        sender_send(&sender, sock);
        event = (struct epoll_event){.events = EPOLLIN, .data.fd = sock};
        if (sock < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, sock, &event) < 0)
            die("the floor cannot accept");
    }
    die("the floor has ended");
}

int floor_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (bind(sock, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(sock, 100) < 0)
        die("cannot listen at %s", path);
    return sock;
}
