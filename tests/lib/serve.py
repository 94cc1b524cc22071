# SPDX-License-Identifier: MIT
"""A server under test: started with QEMU's command line, in a folder of its own, and ended.

    with Server(size="4M", n_vectors=2) as server:
        Peer(server.socket)

Which one is given by the environment, so that the same tests run against any:

    IVSHMEM_SERVER  the program; ivshmem-server in the build folder otherwise
    IVSHMEM_BUILD   the build folder; build otherwise
"""

import contextlib
import functools
import os
import pathlib
import re
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT = 10.0
START_TIMEOUT = 60.0  # a thousand listeners, under a sanitizer, beside other tests
STANDBY = "ivshmem-standby"  # what a process is called that waits to be the next worker
SO_ACCEPTCON = 0x10000  # in the kernel's table of Unix sockets


def build_folder():
    """The build folder, as an absolute path."""
    return (TREE / os.environ.get("IVSHMEM_BUILD", "build")).resolve()


def server_program():
    """The server to test, as an absolute path."""
    return pathlib.Path(os.environ.get("IVSHMEM_SERVER", build_folder() / "ivshmem-server"))


def eventually(condition, timeout=TIMEOUT, what="it"):
    """Waits for a condition of which no event tells; gives its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} was not so within {timeout} s"
        time.sleep(0.005)  # between two looks
    return value


def is_sanitized():
    """Whether the server was built with AddressSanitizer, which keeps freed memory."""
    return b"__asan_init" in server_program().read_bytes()


def offers(option):
    """Whether the server has an option; those that go beyond QEMU's are not everybody's."""
    done = subprocess.run([server_program(), "-h"], capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)
    return re.search(rf"{option}\b", done.stdout + done.stderr) is not None


@functools.cache
def has_keeper(program):
    """Whether a server is a keeper and its processes, unless it is told not to be."""
    return b"no-keeper" in pathlib.Path(program).read_bytes()


def is_listening(path):
    """Looks whether something listens there, without connecting: servers differ in what they do about
    a client that hangs up at once."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        rows = [line.split() for line in table]
    return any(int(row[3], 16) & SO_ACCEPTCON for row in rows if row[7:] == [str(path)])


def started_by(pid):
    """The processes that a process has started and not reaped, by what they are called: {pid: name}. Of
    those that have ended, the name is None."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return {}
    return {int(child): name_of(child) for child in text.split()}


def children(pid):
    """The processes that a process has started and that have not ended, but for one that stands by. A
    server that is killed leaves its worker serving; one whose worker is killed has the next before it
    reaps that one."""
    return [child for child, name in started_by(pid).items() if name not in (None, STANDBY)]


def standby(pid):
    """The process that stands by to be the next worker of a server, or None."""
    return next((child for child, name in started_by(pid).items() if name == STANDBY), None)


def mapped_states(pid):
    """Bytes of each state that a process has mapped and touched. (Its mapping can be in parts.)"""
    states, inode = {}, None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="ascii").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            inode = words[4] if "/memfd:ivshmem-state" in words else None
        elif inode and words[0] == "Rss:":
            states[inode] = states.get(inode, 0) + (int(words[1]) << 10)
    return list(states.values())


def name_of(pid):
    """What a process is called, or None if it has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    head, _, tail = text.rpartition(") ")
    return None if tail[0] in "ZX" else head.partition(" (")[2]


def status_of(pid, name):
    """A line of a process's status, such as VmRSS."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return re.search(rf"^{name}:\s*(.*)$", status, re.MULTILINE).group(1)


def state(pid):
    """What a process does, as a letter: R, S, T..."""
    return status_of(pid, "State")[0]


def kill_if_there(pid):
    """Kills a process that need not be our child, and waits for its end: until then its sockets
    are there."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            end = select.poll()  # select() knows no descriptor above 1023
            end.register(fd, select.POLLIN)
            end.poll(TIMEOUT * 1000)
        finally:
            os.close(fd)


class Server:
    """One running server. log() is all it has printed, to both its outputs."""

    def __init__(self, size="4M", n_vectors=1, more=(), program=None, user=None, nofile=None,
                 umask=None, manager=None, controlled=False, is_busy=False):
        """more is further arguments, which can override the usual ones; user an ID to run as,
        without privileges; nofile the limit on descriptors; manager who starts it (manager.py);
        controlled whether it has a control socket; is_busy whether somebody connects all the time, so
        that it is not to be waited for until it is idle."""
        self.program = str(program or server_program())
        self.n_vectors = n_vectors
        self._folder = tempfile.TemporaryDirectory(prefix="ivshmem-test-")
        self.folder = pathlib.Path(self._folder.name)
        self.socket = self.folder / "socket"
        self.name = self.folder.name  # of the shared memory object: nobody else's
        self.arguments = ["-F", "-S", str(self.socket), "-M", self.name, "-l", size,
                          "-n", str(n_vectors), *more]
        self.control = self.folder / "control" if controlled else None
        self.process = None
        self.is_busy = is_busy
        self.fds_at_start = 0
        self._limit = nofile
        self.manager = manager
        self._options = {"umask": -1 if umask is None else umask}
        self._out = self.folder / "out"
        self._err = self.folder / "err"
        if user is not None and os.geteuid() == 0:
            # It must be able to read its program wherever that is.
            self.program = shutil.copy(self.program, self.folder / "server")
            os.chown(self.folder, user, user)
            self._options.update(user=user, group=user, extra_groups=[])

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            self.end()
            # A call that is not on the sandbox's list ends a worker, and the next one goes on.
            assert f"killed by signal {signal.SIGSYS:d}" not in self.errors()
        finally:
            # What a server leaves that was killed.
            pathlib.Path("/dev/shm", self.name).unlink(missing_ok=True)
            self._folder.cleanup()

    def start(self):
        """Starts it and waits until it accepts connections."""
        self.process = self._launch(*(["--control", self.control] if self.control else []))
        deadline = time.monotonic() + START_TIMEOUT
        exit_fd = os.pidfd_open(self.process.pid)
        try:
            while not is_listening(self.socket):
                # The bound on one look is its pause: there is no event for a socket that appears.
                if select.select([exit_fd], [], [], 0.01)[0] or time.monotonic() > deadline:
                    self.stop(signal.SIGKILL)
                    raise AssertionError(f"{self.program} does not serve:\n{self.log()}")
            # Somebody else may listen at the path: a manager that holds its socket.
            eventually(lambda: self.process.poll() is not None or self.is_busy or
                       self._states() == {"S"}, timeout=START_TIMEOUT, what="the server idle")
            eventually(lambda: self.process.poll() is not None or self._has_worker(), what="its worker")
            if self.process.poll() is not None:
                self.process = None
                raise AssertionError(f"{self.program} does not serve:\n{self.log()}")
        finally:
            os.close(exit_fd)
        self.fds_at_start = self.n_fds()
        return self

    def launch_successor(self):
        """Starts a process that is to take over, and gives it; it is up to the caller to make it
        the server's."""
        return self._launch("--take-over", self.control)

    def _launch(self, *more):
        """A process of the server's program, the leader of a session."""
        with open(self._out, "ab") as out, open(self._err, "ab") as err:
            command = [self.program, *self.arguments, *more]
            options = dict(self._options)
            if self.manager:
                command = self.manager.command(command)
                options |= {"env": self.manager.environment(), "close_fds": False}
            return subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                    preexec_fn=self._set_limit, start_new_session=True, **options)

    def stop(self, number=signal.SIGTERM):
        """Ends it with a signal and gives its exit status."""
        if self.process is None:
            return None
        workers = started_by(self.process.pid) if number == signal.SIGKILL else []
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        for pid in workers:
            kill_if_there(pid)
        try:
            return process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.program} does not end on {number}") from None

    def end(self):
        """Ends it for good: its manager's SIGTERM could be a part of a restart."""
        return self.stop(signal.SIGINT if self.manager else signal.SIGTERM)

    def log(self):
        """What it has printed so far."""
        return self.printed() + self.errors()

    def printed(self):
        """What it has printed to standard output so far."""
        return self._out.read_text(errors="replace") if self._out.exists() else ""

    def errors(self):
        """What it has printed to standard error so far."""
        return self._err.read_text(errors="replace") if self._err.exists() else ""

    # What it uses, all its processes together

    def n_fds(self):
        """How many descriptors it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self):
        """Its resident memory in KiB."""
        return sum(int(status_of(pid, "VmRSS").split()[0]) for pid in self.pids())

    def cpu(self):
        """Seconds of processor time so far."""
        return sum(int(pathlib.Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])
                   for pid in self.pids()) / 1e9

    def wake_ups(self):
        """How often it has waited for something, or had to let others run."""
        return sum(int(status_of(pid, name)) for pid in self.pids()
                   for name in ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"])

    def await_last_start(self):
        """Until all that it starts by itself is there, and sleeps."""
        eventually(lambda: (waits := standby(self.process.pid)) and
                   {state(waits), *self._states()} == {"S"}, what="a process that stands by")

    def pids(self):
        """Itself and the processes that it has started, but for one that stands by."""
        pids = [self.process.pid]
        for pid in pids:
            pids += children(pid)
        return pids

    def pause(self):
        """Stops it until resume(): what happens meanwhile, it finds all at once."""
        self._signal_all(signal.SIGSTOP)
        eventually(lambda: self._states() == {"T"}, what="the server stopped")

    def resume(self):
        """Lets it go on after pause()."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number):
        for pid in self.pids():
            os.kill(pid, number)

    def _has_worker(self):
        """Whether the process that serves has come up, and opened all that it keeps open. Other servers
        are one process."""
        if "--no-keeper" in self.arguments or not has_keeper(self.program):
            return True
        with contextlib.suppress(FileNotFoundError):  # it opens and closes meanwhile
            links = [os.readlink(f"/proc/{self.process.pid}/fd/{fd}")
                     for fd in os.listdir(f"/proc/{self.process.pid}/fd")]
            return bool(children(self.process.pid)) and any("pidfd" in link for link in links)
        return False

    def _states(self):
        return {state(pid) for pid in self.pids()}

    def _set_limit(self):
        if self._limit is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._limit, self._limit))
