# SPDX-License-Identifier: MIT
"""ivshmem-client under test: run to its end, or talked to line by line.

The environment says which: IVSHMEM_CLIENT, or ivshmem-client in the build folder (see serve.py).
"""

import os
import select
import signal
import subprocess
import time

from serve import build_folder

TIMEOUT = 20.0


def client_program():
    """The client to test."""
    return os.environ.get("IVSHMEM_CLIENT", str(build_folder() / "ivshmem-client"))


def run(*arguments, given=b"", **options):
    """Runs it to its end, with bytes as its standard input; what it did has bytes too."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([client_program(), *map(str, arguments)], input=given, timeout=TIMEOUT,
                          check=False, **options)


class Tool:
    """One that runs: with Tool("-S", path, "watch") as tool: tool.line()."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([client_program(), *map(str, arguments)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self._buffers = {self.process.stdout: b"", self.process.stderr: b""}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def until(self, text, stream=None):
        """What it prints up to and with a text, on standard output unless told otherwise."""
        stream = stream or self.process.stdout
        deadline = time.monotonic() + TIMEOUT
        wanted = text.encode()
        while wanted not in self._buffers[stream]:
            left = max(0, deadline - time.monotonic())
            if not select.select([stream], [], [], left)[0]:
                raise TimeoutError(f"no {text!r} after {self._buffers[stream]!r}")
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                raise EOFError(f"no {text!r} before the end: {self._buffers[stream]!r}")
            self._buffers[stream] += piece
        before, _, self._buffers[stream] = self._buffers[stream].partition(wanted)
        return before.decode() + text

    def line(self):
        """The next line on standard output, without its newline."""
        return self.until("\n")[:-1]

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()
        self.process.stdin = None

    def end(self, number=signal.SIGINT):
        """Sends a signal and gives the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        """The exit status."""
        return self.process.wait(TIMEOUT)
