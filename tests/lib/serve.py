# SPDX-License-Identifier: MIT
"""A server under test: started with QEMU's command line, in a folder of its own, and ended.

    with Server(size="4M", n_vectors=2) as server:
        Peer(server.socket)

Which one is given by the environment, so that the same tests run against any:

    IVSHMEM_SERVER  the program; ivshmem-server in the build folder otherwise
    IVSHMEM_BUILD   the build folder; build otherwise
"""

import os
import pathlib
import select
import signal
import subprocess
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT = 10.0
SO_ACCEPTCON = 0x10000  # in the kernel's table of Unix sockets


def build_folder():
    """The build folder, as an absolute path."""
    return (TREE / os.environ.get("IVSHMEM_BUILD", "build")).resolve()


def server_program():
    """The server to test, as an absolute path."""
    return pathlib.Path(os.environ.get("IVSHMEM_SERVER", build_folder() / "ivshmem-server"))


class Server:
    """One running server. log() is all it has printed, to both its outputs."""

    def __init__(self, size="4M", n_vectors=1, more=(), program=None):
        """more is further arguments, which can override the usual ones."""
        self.program = str(program or server_program())
        self.n_vectors = n_vectors
        self._folder = tempfile.TemporaryDirectory(prefix="ivshmem-test-")
        self.folder = pathlib.Path(self._folder.name)
        self.socket = self.folder / "socket"
        self.name = self.folder.name  # of the shared memory object: nobody else's
        self.arguments = ["-F", "-S", str(self.socket), "-M", self.name, "-l", size,
                          "-n", str(n_vectors), *more]
        self.process = None
        self._log = self.folder / "log"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self._folder.cleanup()

    def start(self):
        """Starts it and waits until it accepts connections."""
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen([self.program, *self.arguments], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + TIMEOUT
        exit_fd = os.pidfd_open(self.process.pid)
        try:
            while not self._accepts():
                # The bound on one look is its pause: there is no event for a socket that appears.
                if select.select([exit_fd], [], [], 0.01)[0] or time.monotonic() > deadline:
                    self.stop(signal.SIGKILL)
                    raise AssertionError(f"{self.program} does not serve:\n{self.log()}")
        finally:
            os.close(exit_fd)
        return self

    def stop(self, number=signal.SIGTERM):
        """Ends it with a signal and gives its exit status."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.program} does not end on {number}") from None

    def log(self):
        """What it has printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _accepts(self):
        """Looks whether something listens there, without connecting: servers differ in what they
        do about a client that hangs up at once."""
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            rows = [line.split() for line in table]
        return any(int(row[3], 16) & SO_ACCEPTCON for row in rows if row[7:] == [str(self.socket)])
