# SPDX-License-Identifier: MIT
"""From the start to the end of a server: what is there, with which mode, and what is left."""

import fcntl
import os
import pathlib
import resource
import signal
import socket
import stat
import subprocess

import pytest
from peer import Peer, settle
from place import end
from serve import Server, children, eventually, is_listening, name_of

K64 = 64 << 10
F_GET_SEALS = 1034
F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW = 1, 2, 4


@pytest.fixture(name="life", params=[True, False], ids=["foreground", "daemon"])
def fixture_life(place, request):
    """Starts a server that listens, one way or the other; gives its process ID."""

    def start(*arguments):
        if request.param:
            return place.server(*arguments).process.pid
        return place.daemon(*arguments)

    start.foreground = request.param
    return start


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_first_worker_that_cannot_be_started_leaves_nothing(unprivileged, monkeypatch):
    def no_more_processes(_):
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

    monkeypatch.setattr(Server, "_set_limit", no_more_processes)
    server = Server(user=unprivileged, controlled=True)
    try:
        with pytest.raises(AssertionError, match="cannot start a worker"):
            server.start()
        left = {path.name for path in server.folder.iterdir()}
        assert left & {"socket", "control", "socket.lock", "control.lock"} == \
            {"socket.lock", "control.lock"}
        assert not pathlib.Path("/dev/shm", server.name).exists()
    finally:
        server.__exit__()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_with_status_0_and_leaves_the_lock_file_only(place, life, number):
    pid = life()
    peer = place.peer()
    assert place.socket.exists() and place.object().exists()
    assert place.pidfile.exists() != life.foreground
    assert end(pid, number) == 0
    assert [path.name for path in place.folder.iterdir()] == ["socket.lock"]
    assert not place.object().exists()
    peer.until_hung_up()


def test_hang_up_of_a_terminal_is_survived(place, life):
    pid = life()
    peers = [place.peer()]
    for _ in range(3):
        os.kill(pid, signal.SIGHUP)
        peers.append(place.peer())
    settle(peers)


def test_client_that_goes_in_the_middle_does_not_end_the_server(place, life):
    """By SIGPIPE."""
    life("-n", "64")
    for _ in range(20):
        with Peer(place.socket, 64):
            pass
    settle([place.peer(64), place.peer(64)])


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o117])
def test_modes(place, umask):
    place.server(umask=umask)
    assert mode(place.socket) == 0o777 & ~umask
    assert mode(place.object()) == 0o700 & ~umask
    assert mode(pathlib.Path(f"{place.socket}.lock")) & 0o077 == 0


def test_memfd_is_sealed_and_private(place, life):
    life("--memfd")
    peer = place.peer()
    assert stat.S_IMODE(os.fstat(peer.memory).st_mode) == 0o600
    assert fcntl.fcntl(peer.memory, F_GET_SEALS) == F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW
    for size in [0, 2 * K64]:
        with pytest.raises(PermissionError):
            os.ftruncate(peer.memory, size)
    assert len(peer.map) == K64
    assert not place.object().exists()


@pytest.mark.parametrize("last", ["-M", "-m", "--memfd"])
def test_last_kind_of_memory_counts(place, last):
    options = {"-M": ["-M", place.name], "-m": ["-m", place.folder], "--memfd": ["--memfd"]}
    others = [word for name, words in options.items() if name != last for word in words]
    place.server(*others, "--hugepages", "2M", *options[last])
    assert place.object().exists() == (last == "-M")
    found = os.readlink(f"/proc/self/fd/{place.peer().memory}")
    assert {"-M": "/dev/shm/", "-m": f"{place.folder}/", "--memfd": "/memfd:"}[last] in found


@pytest.mark.parametrize("memory", ["object", "directory", "memfd"])
def test_pages_are_reserved(place, memory):
    """A file system that is full later would be a SIGBUS in a guest."""
    place.server(*{"object": [], "directory": ["-m", place.folder], "memfd": ["--memfd"]}[memory])
    assert os.fstat(place.peer().memory).st_blocks * 512 >= K64


# Daemons

def test_daemon_listens_when_its_parent_ends(place):
    for _ in range(10):
        pid = place.daemon()
        with Peer(place.socket, 1) as peer:
            peer.setup()
        assert end(pid, signal.SIGTERM) == 0


def test_daemon_is_on_its_own(place):
    inner = place.folder / "inner"
    inner.mkdir()
    pid = place.daemon(cwd=inner)
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == str(inner), "QEMU's server keeps it, too"
    assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_descriptors_that_a_launcher_has_closed(place, life, closed):
    """Else the listening socket, or the loop, gets a number that a daemon closes."""
    before = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    if life.foreground:
        process = subprocess.Popen([*before, *place.arguments()], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: is_listening(place.socket), what="the socket")
        pid = process.pid
    else:
        assert place.run(foreground=False, before=before).returncode == 0
        pid = place.daemon_pid()
    settle([place.peer(), place.peer()])
    standard = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
    assert standard == ["/dev/null"] * 3
    assert end(pid, signal.SIGTERM) == 0


def test_log_file_of_a_daemon_is_kept(place):
    """As QEMU's server keeps it. A pipe or a terminal is not, whose reader would wait for the end."""
    path = place.folder / "log"
    with open(path, "ab") as log:
        process = subprocess.Popen(place.arguments("--allow-user", "12345", foreground=False),
                                   stderr=log)
        assert process.wait(10) == 0
    place.daemon_pid()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(place.socket))
        assert peer.recv(1) == b""
    text = eventually(lambda: path.read_text(encoding="utf-8"), what="a line")
    assert text.startswith("ivshmem-server: client refused (")


def test_relative_paths(place):
    place.pidfile = place.folder / "relative"
    pid = place.daemon("-S", "relative-socket", "-p", "relative", cwd=place.folder)
    with Peer(place.folder / "relative-socket", 1) as peer:
        peer.setup()
    assert end(pid, signal.SIGTERM) == 0
    assert not [path for path in place.folder.iterdir() if path.suffix != ".lock"]


def test_pidfile_is_locked_while_the_daemon_runs(place):
    pid = place.daemon()
    assert place.pidfile.read_text(encoding="ascii") == f"{pid}\n"
    assert mode(place.pidfile) & 0o133 == 0
    with open(place.pidfile, "r+b") as file, pytest.raises(BlockingIOError):
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_daemon_listens_when_the_pidfile_has_its_number(place):
    """Scripts wait for that. Reserving the memory takes a while before."""
    process = subprocess.Popen(place.arguments("-l", "128M", foreground=False))
    text = eventually(lambda: place.pidfile.exists() and place.pidfile.read_text(encoding="ascii"))
    with Peer(place.socket, 1) as peer:
        peer.setup()
    assert process.wait(10) == 0
    assert place.daemon_pid() == int(text)


def test_second_daemon_with_the_pidfile_is_refused(place):
    pid = place.daemon()
    before = place.files()
    other = ["-S", place.folder / "other", "-M", f"{place.name}-2"]
    done = place.run(*other, foreground=False)
    assert done.returncode == 1 and "a running daemon holds it" in done.stderr
    assert place.files() == before
    assert place.pidfile.read_text(encoding="ascii") == f"{pid}\n"
    place.peer()


def test_second_daemon_at_the_socket_is_refused(place):
    place.daemon()
    before = place.files()
    done = place.run("-p", place.folder / "other", foreground=False)
    assert done.returncode == 1 and "another server" in done.stderr
    assert place.files() == before
    place.peer()


def test_pidfile_of_a_dead_daemon_is_taken_over(place):
    """Also if it is longer than ours."""
    end(place.daemon(), signal.SIGKILL)
    place.pidfile.write_text("12345678901234567890\nand more\n", encoding="ascii")
    pid = place.daemon()
    assert place.pidfile.read_text(encoding="ascii") == f"{pid}\n"


def test_foreground_writes_no_pidfile(place):
    place.server("-p", place.pidfile)
    assert not place.pidfile.exists()


# The path and what is at it

def test_socket_of_a_killed_server_is_taken_over(place, life):
    pid = life()
    peer = place.peer()
    end(pid, signal.SIGKILL)
    assert place.socket.exists() and place.object().exists()
    peer.until_hung_up()
    life()
    assert place.peer().id == 0


def test_object_of_a_killed_server_is_used_again(place):
    first = place.server()
    place.peer().map[:5] = b"hello"
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    inode = place.object().stat().st_ino
    second = place.server()
    assert place.object().stat().st_ino == inode and place.peer().map[:5] == b"hello"
    assert second.stop() == 0
    assert place.object().stat().st_ino == inode, "it did not make this object"


def test_existing_object_is_used_and_stays(place, life):
    place.make_object(K64)
    inode = place.object().stat().st_ino
    pid = life()
    assert os.fstat(place.peer().memory).st_ino == inode
    assert end(pid, signal.SIGTERM) == 0
    assert place.object().stat().st_ino == inode and place.object().stat().st_size == K64


def test_two_servers_with_one_object(place, stack):
    """The one that made it removes it; the memory stays as it is for the other."""
    made = place.server()
    with_it = stack.enter_context(Server(more=["-M", place.name, "-l", "64K"]))
    memory = stack.enter_context(Peer(with_it.socket, 1)).setup().memory
    assert os.path.samestat(os.fstat(memory), place.object().stat())
    assert with_it.stop() == 0
    assert place.object().exists() and place.peer().memory >= 0
    assert made.stop() == 0
    assert not place.object().exists() and os.fstat(memory).st_size == K64


def test_socket_that_somebody_else_made_since_is_not_removed(place):
    server = place.server()
    place.socket.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place.socket))
        assert server.stop() == 0
        assert place.socket.exists()


def test_longest_socket_path(place):
    """sockaddr_un has 108 bytes, the last one for NUL; one more byte is refused (test_bad_input)."""
    for length in [106, 107]:
        place.socket = place.folder / ("x" * (length - len(str(place.folder)) - 1))
        assert len(str(place.socket)) == length
        server = place.server()
        place.peer()
        assert server.stop() == 0 and not place.socket.exists()


def test_longest_object_name(place):
    name = place.name + "x" * (253 - len(place.name))
    server = place.server("-M", name)
    assert place.object(name).exists()
    assert server.stop() == 0 and not place.object(name).exists()


# At the same instant

class Contender(subprocess.Popen):
    """A server that may find another one there."""

    def __init__(self, place, *arguments):
        super().__init__(place.arguments(*arguments), stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)

    def __exit__(self, *_):
        self.kill()
        self.communicate(timeout=10)


def contend(one, other):
    """Waits until one of the two has given up; gives the other one, and what was said."""
    eventually(lambda: one.poll() is not None or other.poll() is not None)
    winner, loser = (one, other) if one.poll() is None else (other, one)
    assert loser.returncode == 1
    return winner, loser.communicate(timeout=10)[1]


def memory_of(place):
    """The status of the memory that a server hands out, once one serves."""
    def ask():
        try:
            with Peer(place.socket, 1) as peer:
                return os.fstat(peer.setup().memory)
        except (ConnectionError, FileNotFoundError):
            return None

    return eventually(ask)


@pytest.mark.starts
@pytest.mark.parametrize("leftover", [False, True], ids=["", "beside a dead server's socket"])
def test_one_of_two_wins(place, leftover):
    for _ in range(20):
        if leftover:
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(place.socket))
        with Contender(place) as one, Contender(place) as other:
            winner, said = contend(one, other)
            assert "another server" in said and said.count("\n") == 1
            assert os.path.samestat(memory_of(place), place.object().stat())
            winner.terminate()
            assert winner.wait(10) == 0
        assert not place.object().exists() and not place.socket.exists()


def test_loser_does_not_remove_the_winners_object(place):
    """The one takes long to reserve its memory, and the other comes meanwhile."""
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGESIZE") < 3 << 30:
        pytest.skip("too little memory is free")
    with Contender(place, "-l", "1G") as slow:
        eventually(lambda: place.object().exists() and place.object().stat().st_size == 1 << 30)
        with Contender(place, "-l", "1G") as quick:
            winner, said = contend(slow, quick)
            assert "another server" in said
            assert os.path.samestat(memory_of(place), place.object().stat())
            winner.terminate()
            assert winner.wait(10) == 0


@pytest.mark.starts
def test_many_starts_and_ends(place):
    """Each finds the path as the one before left it."""
    for _ in range(20):
        server = place.server()
        with Peer(place.socket, 1) as peer:
            peer.setup()
        assert server.stop() == 0


def test_pidfile_of_a_worker_that_outlives_its_keeper(place):
    """Whoever ends the server by its pidfile finds it, and finds nothing of it afterwards."""
    keeper = place.daemon()
    worker, = eventually(lambda: children(keeper), what="a worker")
    peer = place.peer()
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: place.daemon_pid() == worker, what="its number in the pidfile")
    done = place.run(foreground=False)
    assert done.returncode == 1
    assert done.stderr == (f"ivshmem-server: cannot lock the pidfile {place.pidfile}: a running daemon "
                           f"holds it, process {worker}\n")
    settle([peer, place.peer()])
    os.kill(worker, signal.SIGTERM)
    eventually(lambda: not place.pidfile.exists(), what="no pidfile")
    assert not place.socket.exists()
    eventually(lambda: name_of(worker) is None, what="its end")
    assert place.daemon() not in (keeper, worker)
