# SPDX-License-Identifier: MIT
"""What is done to a server while a crowd uses it. Each is called again and again, and returns when it
is done; how often, and in which order, is the test's choice.

    disturb = Kill(server, random.Random(seed))
    disturb()
"""

import os
import signal
import time

from serve import children, eventually, started_by, state

TIMEOUT = 20.0
SETTLED = 0.25  # seconds that a worker must live so that its death begins a new series
MOST_IN_A_ROW = 5  # of 20, after which no more are started
LEAVES = "another process has taken over"
LAST_PART = 0.2  # of what a take-over needs, from the start of the new process


def new_worker(keeper, old):
    """Waits for another worker than the old one, without losing time: it is to be killed early,
    too."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := [pid for pid in children(keeper) if pid != old]):
        assert time.monotonic() < deadline, f"no other worker than {old}"
        time.sleep(0.0001)
    return found[0]


class Kill:
    """SIGKILL for the worker, at a random instant: of a long life, of a short one, or of what it does
    before it serves."""

    def __init__(self, server, choose):
        self._server = server
        self._choose = choose
        self._last = None
        self._in_a_row = 0
        self._most = 0
        self.n = 0

    def __call__(self):
        keeper = self._server.process.pid
        worker = new_worker(keeper, self._last)
        if self._in_a_row >= self._most:
            self._in_a_row = 0
            self._most = self._choose.randint(1, MOST_IN_A_ROW)
            time.sleep(self._choose.uniform(SETTLED + 0.02, SETTLED + 0.05))
        else:
            self._in_a_row += 1
            time.sleep(self._choose.choice([0, 0.0003, 0.001, 0.003, 0.03]) * self._choose.random())
        os.kill(worker, signal.SIGKILL)
        self._last = worker
        self.n += 1


class TakeOver:
    """Another process takes over, and is the server from then on."""

    def __init__(self, server, choose):
        """The server is a controlled one."""
        self._server = server
        self._choose = choose
        self.n = 0

    def __call__(self):
        time.sleep(self._choose.choice([0, 0.003, 0.03]) * self._choose.random())
        self.finish(self._server.launch_successor())

    def finish(self, successor):
        """Waits until a process that is about to take over has done so."""
        server = self._server
        deadline = time.monotonic() + TIMEOUT
        while (status := server.process.poll()) is None:
            assert successor.poll() is None, f"no take-over:\n{server.log()}"
            assert time.monotonic() < deadline, f"no take-over within {TIMEOUT} s:\n{server.log()}"
            time.sleep(0.0005)
        server.process = successor
        assert status == 0, server.log()
        self.n += 1


class TakeOverKilled:
    """All processes of a server that is about to take over are killed, at a random instant before it
    serves, half the times in the last part, in which the old one has stopped serving; that one goes
    on. Where the instant comes too late, it is a take-over."""

    def __init__(self, server, choose):
        """The server is a controlled one."""
        self._server = server
        self._choose = choose
        self._take_over = TakeOver(server, choose)
        self._span = None  # in seconds: what a take-over needs
        self.n = 0

    @property
    def n_late(self):
        return self._take_over.n

    def __call__(self):
        if self._span is None:
            began = time.monotonic()
            self._take_over()
            self._span = time.monotonic() - began
        successor = self._server.launch_successor()
        time.sleep((1 - self._choose.choice([1, LAST_PART]) * self._choose.random()) * self._span)
        self._stop(successor)
        if self._is_served_by(successor):
            os.killpg(successor.pid, signal.SIGCONT)
            self._take_over.finish(successor)
            self._span *= 0.8
        else:
            os.killpg(successor.pid, signal.SIGKILL)
            successor.wait(TIMEOUT)
            self._span *= 1.05  # so that four of five come in time
            self.n += 1

    def _stop(self, successor):
        def is_stopped():
            os.killpg(successor.pid, signal.SIGSTOP)  # again: a keeper continues whom it lets serve
            alive = [pid for pid, name in started_by(successor.pid).items() if name]
            return {state(successor.pid), *map(state, alive)} == {"T"}

        eventually(is_stopped, what="the successor stopped")

    def _is_served_by(self, successor):
        """A worker that has been told that it is no longer needed does not sleep before it has said so.
        One that sleeps and has not has not been told."""
        deadline = time.monotonic() + TIMEOUT
        while self._server.process.poll() is None:
            try:
                if any(state(pid) == "S" for pid in children(self._server.process.pid)):
                    return self._server.errors().count(LEAVES) > self.n_late
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has ended meanwhile
            assert time.monotonic() < deadline, f"{successor.pid} is neither:\n{self._server.log()}"
        return True


class Restart:
    """The service manager ends the service and starts it again."""

    def __init__(self, server, choose, manager):
        """The server is the manager's, and stores what it has there."""
        self._server = server
        self._choose = choose
        self._manager = manager
        self.n = 0

    def __call__(self):
        fds_at_start = self._server.fds_at_start
        time.sleep(self._choose.choice([0, 0.003, 0.03]) * self._choose.random())
        self._manager.restart(self._server)
        self._manager.hear("READY=1")
        self._server.fds_at_start = fds_at_start
        assert not self._manager.stored
        self.n += 1


class Mixed:
    """One or another, at random."""

    def __init__(self, choose, *disturbances):
        self._choose = choose
        self._disturbances = disturbances

    def __call__(self):
        self._choose.choice(self._disturbances)()

    @property
    def n(self):
        """How often, of each."""
        return [each.n for each in self._disturbances]
