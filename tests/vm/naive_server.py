#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A server that gives out the lowest free ID: the mistake that test_valgrind.py must be able to
see. For tests only, with a few clients that read at once."""

import array
import getopt
import os
import selectors
import signal
import socket
import struct
import sys


class NaiveServer:
    def __init__(self, path, size, n_vectors):
        self.n_vectors = n_vectors
        self.peers = {}  # {ID: (socket, [eventfd, ...])}
        self.memory = os.memfd_create("naive", os.MFD_CLOEXEC)
        os.ftruncate(self.memory, size)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)

    @staticmethod
    def send(client, value, fd=None):
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                         array.array("i", [fd]))]
        try:
            client.sendmsg([struct.pack("<q", value)], rights)
        except OSError:
            pass  # it has hung up: its departure comes next

    def join(self):
        client = self.listener.accept()[0]
        own = next(i for i in range(65536) if i not in self.peers)
        vectors = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(self.n_vectors)]
        self.send(client, 0)
        self.send(client, own)
        self.send(client, -1, self.memory)
        for peer, (other, fds) in self.peers.items():
            for fd in vectors:
                self.send(other, own, fd)
            for fd in fds:
                self.send(client, peer, fd)
        for fd in vectors:
            self.send(client, own, fd)
        self.peers[own] = client, vectors
        self.selector.register(client, selectors.EVENT_READ, own)

    def leave(self, peer):
        client, vectors = self.peers.pop(peer)
        self.selector.unregister(client)
        client.close()
        for fd in vectors:
            os.close(fd)
        for other, _ in self.peers.values():
            self.send(other, peer)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    self.join()
                else:
                    self.leave(key.data)


def main():
    options = dict(getopt.getopt(sys.argv[1:], "FS:M:l:n:")[0])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(os.unlink(options["-S"])))
    NaiveServer(options["-S"], int(options["-l"].removesuffix("M")) << 20,
                int(options["-n"])).run()


if __name__ == "__main__":
    main()
