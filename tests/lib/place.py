# SPDX-License-Identifier: MIT
"""A folder in which a test runs the program, in the foreground and as a daemon, and knows what was
left behind."""

import contextlib
import os
import pathlib
import signal
import stat
import subprocess

from peer import Peer
from serve import Server, eventually, kill_if_there, server_program, started_by

TIMEOUT = 10.0


class Place:
    """The folder and a name for shared memory that nobody else uses."""

    def __init__(self, folder, stack):
        self.folder = folder
        self.name = folder.name
        self.socket = folder / "socket"
        self.pidfile = folder / "pid"
        self.program = server_program()
        self._stack = stack

    def arguments(self, *more, foreground=True):
        """A command line that works; more can override it."""
        return [str(self.program), *["-F"][:foreground], "-S", str(self.socket), "-M", self.name,
                "-p", str(self.pidfile), "-l", "64K", *map(str, more)]

    def run(self, *more, foreground=True, before=(), **options):
        """Runs it to its end, or until it is a daemon. Whoever is its child may not keep its
        outputs open, or this does not end. before is a command that runs it."""
        options.setdefault("cwd", self.folder)
        return subprocess.run(
            [*before, *self.arguments(*more, foreground=foreground)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=TIMEOUT, check=False, **options)

    def daemon(self, *more, **options):
        """Starts a daemon and gives its process ID."""
        done = self.run(*more, foreground=False, **options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return self.daemon_pid()

    def daemon_pid(self):
        """Of the daemon that wrote the pidfile. It is killed at the end."""
        pid = int(self.pidfile.read_text(encoding="ascii"))
        self._stack.callback(end, pid)
        return pid

    def server(self, *more, **options):
        """A server in the foreground that listens at our socket."""
        server = Server(more=["-S", str(self.socket), "-M", self.name, "-l", "64K", *map(str, more)],
                        **options)
        server.socket = self.socket
        return self._stack.enter_context(server)

    def peer(self, n_vectors=1, path=None):
        """A client that has read its set-up."""
        return self._stack.enter_context(Peer(path or self.socket, n_vectors)).setup()

    def object(self, name=None):
        """The path of a shared memory object."""
        return pathlib.Path("/dev/shm", name or self.name)

    def make_object(self, size):
        """A shared memory object that somebody else made."""
        self.object().write_bytes(bytes(size))

    def files(self):
        """All that a server could have left, and what it is. Lock files of sockets may stay."""
        found = {path: look(path) for path in self.folder.rglob("*") if path.suffix != ".lock"}
        found.update((path, look(path)) for path in pathlib.Path("/dev/shm").glob(f"{self.name}*"))
        return found


def can_mount():
    """Whether a mount namespace of our own is possible."""
    return os.geteuid() == 0 and not subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False,
        stderr=subprocess.DEVNULL).returncode


def forget_locks(stack, paths):
    """Lock files of sockets at these paths, which are not in a folder of the test's, go with it."""
    for lock in {pathlib.Path(f"{path}.lock") for path in paths}:
        if not lock.exists():
            stack.callback(lock.unlink, missing_ok=True)


def look(path):
    """The size of a folder says nothing: on a tmpfs it is that of all names in it, of locks too."""
    status = path.lstat()
    return status.st_ino, status.st_mode, 0 if stat.S_ISDIR(status.st_mode) else status.st_size


def end(pid, number=signal.SIGKILL):
    """Ends a daemon, which is our child, and gives its status; None if it was gone before."""
    workers = started_by(pid) if number == signal.SIGKILL else []
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, number)
        for worker in workers:
            kill_if_there(worker)
        _, status = eventually(lambda: wait_for(pid), what=f"the end of {pid}")
        return os.waitstatus_to_exitcode(status)
    return None


def wait_for(pid):
    found = os.waitpid(pid, os.WNOHANG)
    return None if found == (0, 0) else found
