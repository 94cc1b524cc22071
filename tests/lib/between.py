# SPDX-License-Identifier: MIT
"""Stands between a client and a server on a Unix socket, and passes on all, descriptors too."""

import array
import os
import selectors
import socket
import struct
import threading


class Between:
    """Listens at a path for one client. What the client sends goes through `change`, which gives the
    bytes to pass on."""

    def __init__(self, path, server_path, change):
        self.path = path
        self._change = change
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._server_path = server_path
        self._client = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def client_pid(self):
        """Who has connected."""
        credentials = self._client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", credentials)[0]

    def _run(self):
        self._client, _ = self._listener.accept()
        with self._client as client, socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as both:
            server.connect(str(self._server_path))
            both.register(client, selectors.EVENT_READ, (server, self._change))
            both.register(server, selectors.EVENT_READ, (client, lambda data: data))
            while all(self._pass_on(key.fileobj, *key.data) for key, _ in both.select()):
                pass

    @staticmethod
    def _pass_on(source, target, change):
        """Whether there was something."""
        fds = array.array("i")
        try:
            data, controls, _, _ = source.recvmsg(1 << 16, socket.CMSG_SPACE(253 * fds.itemsize))
            for _, _, piece in controls:
                fds.frombytes(piece)
            if data:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
                target.sendmsg([change(data)], rights)
        except (BrokenPipeError, ConnectionResetError):
            return False
        finally:
            for fd in fds:
                os.close(fd)
        return bool(data)
