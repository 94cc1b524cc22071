# SPDX-License-Identifier: MIT
"""What is done to a server while a crowd uses it. Each is called again and again, and returns when it
is done; how often, and in which order, is the test's choice.

    disturb = Kill(server, random.Random(seed))
    disturb()
"""

import os
import signal
import time

from serve import children

TIMEOUT = 20.0
SETTLED = 0.25  # seconds that a worker must live so that its death begins a new series
MOST_IN_A_ROW = 5  # of 20, after which no more are started


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
