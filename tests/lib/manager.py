# SPDX-License-Identifier: MIT
"""A small stand-in for the service manager: hears what a service tells it, asks it for a watchdog,
passes it sockets, and keeps what it stores.

    with Manager(watchdog=1.0) as manager:
        manager.listen(path)
        with Server(manager=manager):
            manager.hear("READY=1")
"""

import array
import fcntl
import os
import pathlib
import select
import signal
import socket
import struct
import tempfile
import time

TIMEOUT = 10.0
SCRIPT = """
number=3
for fd in $PASSED; do
    eval "exec $number<&$fd $fd<&-"
    number=$((number + 1))
done
unset PASSED
export LISTEN_PID=$$ WATCHDOG_PID=$$
exec "$@"
"""
HIGH = 200  # descriptors from here on are in nobody's way


class Manager:
    """messages is what the service has told so far, each with the ID of the process that told it."""

    def __init__(self, watchdog=None):
        """watchdog is in seconds."""
        self._folder = tempfile.TemporaryDirectory(prefix="ivshmem-manager-")
        self.path = pathlib.Path(self._folder.name, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(self.path))
        os.chmod(self.path, 0o666)
        self.messages = []
        self._watchdog = watchdog
        self._passed = []  # (descriptor, name)
        self.stored = []   # the same, by the service itself; with whether hung-up ones are dropped

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        for fd, *_ in self._passed + self.stored:
            os.close(fd)
        self._folder.cleanup()

    # What it passes

    def listen(self, path, name="socket", mode=0o600):
        """Passes a socket that listens at a path."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            os.chmod(path, mode)
            listener.listen(5)
            self.hand(listener.fileno(), name)

    def hand(self, fd, name):
        """Passes a duplicate of any descriptor."""
        copy = fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH)
        os.set_inheritable(copy, True)
        self._passed.append((copy, name))

    def command(self, words):
        """The command that puts all of it where the service looks, and becomes the service."""
        return ["bash", "-c", SCRIPT, "bash", *words]

    def environment(self):
        self._evict()
        handed = [*self._passed, *((fd, name) for fd, name, _ in self.stored)]
        more = {"NOTIFY_SOCKET": str(self.path), "PASSED": " ".join(str(fd) for fd, _ in handed)}
        if self._watchdog:
            more["WATCHDOG_USEC"] = str(int(self._watchdog * 1e6))
        if handed:
            more |= {"LISTEN_FDS": str(len(handed)),
                     "LISTEN_FDNAMES": ":".join(name for _, name in handed)}
        return {**os.environ, **more}

    # What it is told

    def _next(self, timeout):
        """The next message's lines, and the ID of the process that sent it; None if none comes."""
        self.socket.settimeout(max(timeout, 1e-6))
        try:
            data, control, _, _ = self.socket.recvmsg(65536, 4096)
        except TimeoutError:
            return None
        fds = array.array("i")
        for level, kind, value in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(value)
        self._store(dict(line.split("=", 1) for line in data.decode().split("\n")), fds)
        (pid,) = [struct.unpack("3i", value)[0] for level, kind, value in control
                  if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)]
        message = (data.decode().split("\n"), pid)
        self.messages.append(message)
        return message

    # What it keeps

    def _store(self, values, fds):
        """As the real one: a barrier's descriptor is closed, and so are those that nobody wants kept."""
        name = values.get("FDNAME", "stored")
        for fd in fds:
            if "FDSTORE" in values:
                copy = fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH)
                os.set_inheritable(copy, True)
                self.stored.append((copy, name, values.get("FDPOLL") != "0"))
            os.close(fd)
        if "FDSTOREREMOVE" in values:
            for fd, *_ in [row for row in self.stored if row[1] == name]:
                os.close(fd)
            self.stored = [row for row in self.stored if row[1] != name]

    def _evict(self):
        """Drops what has hung up, if it may."""
        for row in list(self.stored):
            poll = select.poll()
            poll.register(row[0], 0)
            if row[2] and poll.poll(0):
                os.close(row[0])
                self.stored.remove(row)

    def end(self, server, number=signal.SIGTERM):
        """Ends the service, and hears what it says meanwhile; gives its status."""
        server.process.send_signal(number)
        deadline = time.monotonic() + TIMEOUT
        while server.process.poll() is None:
            assert time.monotonic() < deadline, f"the service does not end:\n{server.log()}"
            self._next(0.005)
        self.heard()
        status, server.process = server.process.returncode, None
        return status

    def restart(self, server):
        assert self.end(server) == 0, server.log()
        server.start()

    def hear(self, line, timeout=TIMEOUT):
        """Waits for a message that has this line; gives the ID of the process that sent it."""
        deadline = time.monotonic() + timeout
        while message := self._next(deadline - time.monotonic()):
            if line in message[0]:
                return message[1]
        raise AssertionError(f"{line} was not told within {timeout} s, but {self.messages}")

    def heard(self):
        """All lines so far, those that wait included."""
        while self._next(0):
            pass
        return [line for lines, _ in self.messages for line in lines]
