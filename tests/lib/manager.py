# SPDX-License-Identifier: MIT
"""A small stand-in for the service manager: hears what a service tells it, asks it for a watchdog, and
passes it sockets.

    with Manager(watchdog=1.0) as manager:
        manager.listen(path)
        with Server(manager=manager):
            manager.hear("READY=1")
"""

import fcntl
import os
import pathlib
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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        for fd, _ in self._passed:
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
        more = {"NOTIFY_SOCKET": str(self.path),
                "PASSED": " ".join(str(fd) for fd, _ in self._passed)}
        if self._watchdog:
            more["WATCHDOG_USEC"] = str(int(self._watchdog * 1e6))
        if self._passed:
            more |= {"LISTEN_FDS": str(len(self._passed)),
                     "LISTEN_FDNAMES": ":".join(name for _, name in self._passed)}
        return {**os.environ, **more}

    # What it is told

    def _next(self, timeout):
        """The next message's lines, and the ID of the process that sent it; None if none comes."""
        self.socket.settimeout(max(timeout, 1e-6))
        try:
            data, control, _, _ = self.socket.recvmsg(65536, 4096)
        except TimeoutError:
            return None
        (pid,) = [struct.unpack("3i", value)[0] for level, kind, value in control
                  if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)]
        message = (data.decode().split("\n"), pid)
        self.messages.append(message)
        return message

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
