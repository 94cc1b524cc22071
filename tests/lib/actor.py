# SPDX-License-Identifier: MIT
"""A function in a process of its own, which can be another user's and can be stopped and killed.

    with Actor(attack, path, uid=61234) as actor:     calls attack(channel, path) there
        assert actor.result() == 5                    what it returns

The function can talk: what it sends through its channel is what hear() gives here, and what say()
sends here is what it receives. It has no descriptor of this process but the channel.
"""

import ctypes
import multiprocessing
import os
import signal
import traceback

from serve import eventually

TIMEOUT = 20.0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Actor:
    """The process, seen from its parent."""

    def __init__(self, function, *arguments, uid=None, groups=()):
        self._channel, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be(theirs, function, arguments, uid, groups)
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def say(self, value):
        """Sends something to the function."""
        self._channel.send(value)

    def hear(self, timeout=TIMEOUT):
        """What it sends next; its failure is a failure here."""
        assert self._channel.poll(timeout), "the process says nothing"
        try:
            kind, value = self._channel.recv()
        except EOFError:
            raise AssertionError(f"the process ended with status {self.wait()}") from None
        assert kind != "failed", f"in the process:\n{value}"
        return value

    def result(self, timeout=TIMEOUT):
        """What the function returns, when it has."""
        value = self.hear(timeout)
        assert self.wait() == 0
        return value

    def stop(self):
        """SIGSTOP, until go_on(). Returns when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        eventually(lambda: _state(self.pid) == "T", what="the process stopped")

    def go_on(self):
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self):
        """SIGKILL, if it lives; then it is gone."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self._channel.close()

    def wait(self):
        """Waits for its end and gives its status: negative for a signal."""
        pid, self.pid = self.pid, None
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)


class Said:
    """The channel, as the function has it."""

    def __init__(self, connection):
        self._connection = connection

    def send(self, value):
        """To be heard by the parent."""
        self._connection.send(("said", value))

    def asked(self, seconds):
        """Waits so long for something that the parent says; whether there is."""
        return self._connection.poll(seconds)

    def receive(self):
        """What the parent says next."""
        return self._connection.recv()


def _be(connection, function, arguments, uid, groups):
    """The process; never returns."""
    try:
        fd = connection.fileno()
        os.closerange(3, fd)
        os.closerange(fd + 1, 1 << 20)
        if uid is not None:
            os.setgroups(list(groups))
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        connection.send(("done", function(Said(connection), *arguments)))
        os._exit(0)
    except BaseException:
        connection.send(("failed", traceback.format_exc()))
    finally:
        os._exit(1)


def _state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[0]
