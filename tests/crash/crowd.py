# SPDX-License-Identifier: MIT
"""Clients that come, go, stall and ring each other in a process of their own (crowd-main.c), and what
a server may have open for them."""

import collections
import json
import os
import re
import select
import subprocess

from built import built
from serve import eventually

TIMEOUT = 60.0


def kinds(pid):
    """How many descriptors of each kind a process has: {"socket": 7, "anon_inode:[eventfd]": 20}."""
    counted = collections.Counter()
    folder = f"/proc/{pid}/fd"
    for fd in os.listdir(folder):
        try:
            counted[re.sub(r":\[\d+\]$", "", os.readlink(f"{folder}/{fd}"))] += 1
        except FileNotFoundError:
            counted["gone"] += 1
    return counted


class Crowd:
    """It goes on until it settles. A rule that the server breaks ends the process, and is a failure
    at the next call here."""

    def __init__(self, server, n_clients, seed, *more):
        """The server has no client yet. more is "silent", or nothing."""
        self._n_vectors = server.n_vectors
        self._before = kinds(server.process.pid)
        self._process = subprocess.Popen(
            [built("tests/crash/crash-crowd"), server.socket, str(n_clients),
             str(server.n_vectors), str(seed), *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0] is not None:
            self._process.kill()
        errors = self._process.communicate(timeout=TIMEOUT)[1]
        if exception[0] is None:
            assert self._process.returncode == 0, errors

    def check(self):
        """No rule has been broken yet."""
        if self._process.poll() is not None:
            raise AssertionError(self._process.stderr.read())

    def settle(self):
        """Everybody knows everybody; stands still until go_on(). Gives what it has seen so far."""
        self._tell()
        if not select.select([self._process.stdout], [], [], TIMEOUT)[0]:
            raise AssertionError("the crowd does not answer")
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(TIMEOUT)
            self.check()
        return json.loads(line)

    def go_on(self):
        """After settle()."""
        self._tell()

    def check_descriptors(self, pid, n_clients):
        """While it stands still: the server has a socket a client and an eventfd a vector, and
        else what it had before, to the last one."""
        wanted = self._before + collections.Counter(
            {"socket": n_clients, "anon_inode:[eventfd]": n_clients * self._n_vectors})
        found = {}

        def all_there():
            found.clear()
            found.update(kinds(pid))
            return found == wanted

        try:
            eventually(all_there)
        except AssertionError:
            raise AssertionError(f"descriptors: {found}, not {dict(wanted)}") from None

    def _tell(self):
        self.check()
        self._process.stdin.write("\n")
        self._process.stdin.flush()
