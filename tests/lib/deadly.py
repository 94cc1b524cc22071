# SPDX-License-Identifier: MIT
"""Has a server's worker die before a system call of the test's choice (tests/daemon/deadly.c)."""

import mmap
import struct

from built import built

SIZE = 16


class Deadly:
    """Orders for servers that are started with these variables in their environment."""

    def __init__(self, folder):
        path = folder / "deadly"
        path.write_bytes(bytes(SIZE))
        self.environment = {"LD_PRELOAD": str(built("tests/daemon/deadly.so")), "IVSHMEM_DEADLY": str(path)}
        with open(path, "r+b") as file:
            self._orders = mmap.mmap(file.fileno(), SIZE)

    def die_at(self, number, deaths=1, of_bind=False):
        """From now on, the call with this number kills the worker; then the first one, or the first
        bind(), kills the next workers."""
        self._orders[:] = struct.pack("4I", number, deaths, of_bind, 1)

    def is_over(self):
        """Whether all have died; if not, none will any more."""
        over = struct.unpack("4I", self._orders)[0] == 0
        self._orders[:] = bytes(SIZE)
        return over
