# SPDX-License-Identifier: MIT
"""A process that takes over from a running server: the real one, or its part of the conversation."""

import array
import subprocess

from control import Control
from serve import server_program


class Successor:
    """The other side's part, to be ended at any step."""

    def __init__(self, path):
        self.control = Control(path).__enter__().negotiate()
        self.answer = self.control.ask("take-over")
        self.socket = self.control.socket

    def say(self, text):
        self.socket.sendall(text)
        return self

    def receive(self, most=1 << 20):
        """The parcel, or so many messages of it; gives its descriptors by their numbers there."""
        fds = {}
        for _ in range(most):
            data, controls, _, _ = self.socket.recvmsg(4096, 4096)
            got = array.array("i")
            for _, _, bytes_ in controls:
                got.frombytes(bytes_)
            words = array.array("i", data)
            fds.update(zip(words[2:], got))
            if words[0] == 0:
                break
        return fds

    def close(self):
        self.control.__exit__()


def arguments(server, *more, control=None):
    return [server_program(), *[a for a in server.arguments if a not in ("--control", str(server.control))],
            "--take-over", control or server.control, *more]


def take_over(server, stack, *more, control=None):
    """Starts the successor, waits until the predecessor has ended, and ends it with the test."""
    process = subprocess.Popen(arguments(server, *more, control=control), stderr=subprocess.PIPE, text=True)

    def end():
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors

    stack.callback(end)
    assert server.process.wait(timeout=20) == 0, server.log()
    server.expected = ["another process has taken over"]
    return process


def refused(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    line, = done.stderr.splitlines()
    return line
