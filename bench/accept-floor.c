/* SPDX-License-Identifier: MIT */
#include "accept-floor.h"

#include "common.h"
#include "send.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

static int start(Sender *sender, int listener)
{
    int memory = memfd_create("bench", MFD_CLOEXEC);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

    sender_init(sender);
    sender_add(sender, 0, -1);
    sender_add(sender, 0, -1);
    sender_add(sender, -1, memory);
    if (memory < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
        die("the floor cannot start");
    return epoll_fd;
}

void floor_accept(int listener)
{
    static Sender sender;
    int epoll_fd = start(&sender, listener);
    struct epoll_event event;

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

/* Whether it is to be closed at once. */
static bool is_unwanted(int sock, uid_t unwanted)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid == unwanted;
}

/* All who wait. */
static void serve_all(Sender *sender, int epoll_fd, int listener, uid_t unwanted)
{
    int sock;

    while ((sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = sock};

        if (is_unwanted(sock, unwanted)) {
            (void)close(sock);
            continue;
        }
        sender_send(sender, sock);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, sock, &event) < 0)
            die("the floor cannot accept");
    }
}

void floor_turn_away(int listener, uid_t unwanted)
{
    static Sender sender;
    int epoll_fd = start(&sender, listener);
    struct epoll_event event;

    if (fcntl(listener, F_SETFL, O_NONBLOCK) < 0)
        die("fcntl");
    while (epoll_wait(epoll_fd, &event, 1, -1) == 1) {
        if (event.data.fd == listener)
            serve_all(&sender, epoll_fd, listener, unwanted);
        else
            (void)close(event.data.fd);
    }
    die("the floor has ended");
}

int floor_listen(const char *path, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (bind(sock, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(sock, backlog) < 0)
        die("cannot listen at %s", path);
    return sock;
}
