# SPDX-License-Identifier: MIT
"""The guest agent (guest-agent.c), as a host speaks to it: a line for each command, and one for its
answer."""

import dataclasses
import time

from image import CLIENT

BOOT_TIMEOUT = 120
TIMEOUT = 60


class GuestError(Exception):
    """The agent answered with an error; errno says which."""

    def __init__(self, command, errno, text):
        super().__init__(f"{command}: {text} ({errno})")
        self.errno = errno


@dataclasses.dataclass
class Done:
    """A program that has ended in a guest; what it printed is text."""
    status: int
    out: str
    err: str


class Lines:
    """Lines of text over a socket, from one end of a machine."""

    def __init__(self, vm, connection):
        self._vm = vm
        self._socket = connection
        self._buffer = b""

    def fileno(self):
        return self._socket.fileno()

    def write(self, line):
        self._socket.sendall(line.encode() + b"\n")

    def read(self, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            self._vm.wait_for(self._socket, deadline)
            data = self._socket.recv(65536)
            if not data:
                raise self._vm.failure("the connection is gone")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def close(self):
        self._socket.close()


class Guest:
    """What runs a guest is a subclass, which sets `agent` to Lines and has failure(what), an exception,
    and wait_for(channel, deadline)."""

    agent = None
    _waiting = None

    def ready(self, timeout=BOOT_TIMEOUT):
        """Waits until the guest's agent takes commands."""
        line = self.agent.read(timeout)
        if line != "ready":
            raise self.failure(f"the agent said {line!r}")
        return self

    def device(self, which=""):
        """Boots, binds the device to vfio-pci and opens it; gives what `open` says."""
        self.ready()
        self.call("load")
        self.call(f"bind {which}")
        return self.call(f"open {which}")

    def send(self, command):
        """Sends a command and does not wait for its answer."""
        assert self._waiting is None, f"{self._waiting!r} has not been answered"
        self.agent.write(command)
        self._waiting = command

    def reply(self, timeout=TIMEOUT):
        """The answer to the command that was sent: its values."""
        command, self._waiting = self._waiting, None
        words = self.agent.read(timeout).split(maxsplit=2)
        if words and words[0] == "ok":
            return " ".join(words[1:]).split()
        if len(words) == 3 and words[0] == "err":
            raise GuestError(command, int(words[1]), words[2])
        raise self.failure(f"{command!r} was answered {words!r}")

    def call(self, command, timeout=TIMEOUT):
        """Sends a command and gives its answer."""
        self.send(command)
        return self.reply(timeout)

    def read(self, offset, length):
        """Bytes of the shared memory."""
        return bytes.fromhex(self.call(f"read {offset} {length}")[0])

    def write(self, offset, data):
        """Writes bytes into the shared memory."""
        self.call(f"write {offset} {data.hex()}")

    # ivshmem-client in the guest

    def start_client(self, *words, given=b"", port="pci:auto"):
        """Starts ivshmem-client with a command; finish_client() waits for it."""
        self.call(f"given {given.hex()}")
        at = ["--port", port] if port else []
        self.call(" ".join(["start", f"/{CLIENT}", *at, *map(str, words)]))

    def until_client(self, text):
        """Waits until it has printed a text, without spaces."""
        self.call(f"until {TIMEOUT * 1000} {text}")

    def finish_client(self, number=None, timeout=TIMEOUT):
        """What has come of it, after a signal if there is one."""
        if number is not None:
            self.call(f"signal {int(number)}")
        status, out, err = self.call(f"finish {timeout * 1000}", 2 * timeout)
        return Done(int(status), *(bytes.fromhex(text[1:]).decode() for text in (out, err)))

    def client(self, *words, **options):
        """Runs it to its end."""
        self.start_client(*words, **options)
        return self.finish_client()

    # Its files

    def get(self, path, offset=0, length=65536):
        """What a file of the guest has, at most so many bytes of it."""
        return bytes.fromhex("".join(self.call(f"get {path} {offset} {length}")))

    def put(self, path, data, offset=0):
        """Writes into a file of the guest that is there."""
        self.call(f"put {path} {offset} {data.hex()}")

    def file(self, path):
        """A text file of the guest."""
        return self.get(path).decode()
