# SPDX-License-Identifier: MIT
"""The library as a program sees it that knows its public header and nothing else."""

import os
import pathlib
import re
import select
import shutil
import subprocess
import tempfile

import pytest
from peer import Peer, settle
from serve import TREE, build_folder, eventually

HERE = pathlib.Path(__file__).parent
TIMEOUT = 10
DIALECTS = {
    "C99": ["cc", "-std=c99", "-pedantic-errors"],
    "C++11": ["c++", "-std=c++11", "-pedantic-errors", "-x", "c++"],
}


@pytest.fixture(name="build", scope="module", params=DIALECTS)
def fixture_build(request):
    """Compiles a program of ours in a dialect and links it with the shared library."""
    compiler, *flags = DIALECTS[request.param]
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    with tempfile.TemporaryDirectory(prefix="ivshmem-api-") as folder:

        def build(name):
            program = pathlib.Path(folder, name)
            command = [compiler, *flags, "-D_XOPEN_SOURCE=700", "-Wall", "-Wextra", "-Werror",
                       f"-I{TREE}/include", HERE / f"{name}.c", "-o", program, "-x", "none",
                       build_folder() / "libivshmem.so", f"-Wl,-rpath,{build_folder()}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0 and not done.stderr, done.stderr
            return program

        yield build


class Host:
    """A program that hosts a server, and is told what to do."""

    def __init__(self, program, folder, n_vectors=2, n_fds=0):
        self.socket = folder / "socket"
        self.name = folder.name
        self.n_vectors = n_vectors
        self._process = subprocess.Popen(
            [program, self.socket, self.name, str(n_vectors), str(n_fds)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        self._text = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self._process.wait(TIMEOUT)  # so that it removes its object
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def line(self):
        """The next line that it prints."""
        while b"\n" not in self._text:
            ready = select.select([self._process.stdout], [], [], TIMEOUT)[0]
            assert ready, f"it says nothing but {self._text}"
            text = os.read(self._process.stdout.fileno(), 65536)
            assert text, f"it ended, having said {self._text}"
            self._text += text
        line, self._text = self._text.split(b"\n", 1)
        return line.decode()

    def ask(self, command):
        """Has it do something; gives what it says to that, without the final point."""
        os.write(self._process.stdin.fileno(), f"{command}\n".encode())
        lines = [self.line()]
        while not lines[-1].endswith("."):
            lines.append(self.line())
        return "\n".join(lines)[:-1].strip()

    def end(self):
        """Closes its standard input; gives its status and what it still said."""
        self._process.stdin.close()
        rest = self._process.stdout.read()
        return self._process.wait(TIMEOUT), (self._text + rest).decode()


@pytest.fixture(name="folder")
def fixture_folder():
    with tempfile.TemporaryDirectory(prefix="ivshmem-api-") as name:
        yield pathlib.Path(name)


@pytest.fixture(name="host")
def fixture_host(build, folder, stack):
    def start(**options):
        return stack.enter_context(Host(build("host"), folder, **options))

    return start


def test_hosts_a_server_around_select(host, stack):
    server = host()
    assert server.ask("start") == "0"
    peers = []
    for n in range(3):
        peers.append(stack.enter_context(Peer(server.socket, 2)).setup())
        assert server.line() == f"connected {server.name} {n} 1"
    settle(peers)
    assert os.fstat(peers[0].memory).st_size == 131072
    peers[0].ring(2, 1)
    assert peers[2].wait(1) == 1
    me = f"{os.getpid()}/{os.geteuid()}/2"
    assert server.ask("peers") == f"0={me} 1={me} 2={me}"
    peers.pop(1).close()
    assert server.line() == f"left {server.name} 1 1"
    assert server.ask("peers") == f"0={me} 2={me}"
    assert [server.ask(f"search {n}") for n in [0, 1, 2, 3, -1, 65535, 65536, 1 << 40]] == [
        "found", "none", "found", *["none"] * 5]
    settle(peers)
    assert server.end() == (0, f"left {server.name} 0 1\nleft {server.name} 2 1\n")
    assert not server.socket.exists() and not os.path.exists(f"/dev/shm/{server.name}")


def test_dump_names_all(host, stack):
    server = host(n_vectors=3)
    server.ask("start")
    for n in range(2):
        stack.enter_context(Peer(server.socket, 3)).setup()
        server.line()
    dump = server.ask("dump")
    assert str(server.socket) in dump and server.name in dump and "131072" in dump
    assert len(re.findall(rf"^peer_id: \d+.*\bpid {os.getpid()}\b", dump, re.MULTILINE)) == 2
    assert dump.count("vector 2 ") == 2 and "vector 3 " not in dump


def test_numbers(host, stack):
    server = host()
    assert server.ask("numbers") == "0 0 0 131072 2"
    server.ask("start")
    most, left, next_id, *_ = map(int, server.ask("numbers").split())
    assert 0 < most <= 65536 and (left, next_id) == (65536, 0)
    first = stack.enter_context(Peer(server.socket, 2)).setup()
    with Peer(server.socket, 2) as second:
        second.setup()
        first.until_told(1)
        assert server.ask("numbers").split("\n")[-1].split()[1:3] == ["65534", "2"]
    first.until_gone(1)
    assert server.ask("numbers").split("\n")[-1].split()[1:3] == ["65534", "2"], "1 is used up"


def test_closes_and_starts_again(host, stack):
    server = host()
    for _ in range(3):
        assert server.ask("start") == "0"
        peer = stack.enter_context(Peer(server.socket, 2)).setup()
        assert peer.id == 0
        assert server.line() == f"connected {server.name} 0 1"
        assert server.ask("close") == f"left {server.name} 0 1"
        peer.until_hung_up()
        assert not server.socket.exists()
    assert server.ask("peers") == ""


def test_child_that_holds_copies_of_the_descriptors(host, stack):
    """As any program has one between fork and exec. What the server closes is over nevertheless: no
    event of a client that has left is taken for one of the client that has its place now."""
    server = host()
    server.ask("start")
    first = stack.enter_context(Peer(server.socket, 2)).setup()
    second = stack.enter_context(Peer(server.socket, 2)).setup()
    server.ask("child")
    second.close()
    assert server.line() == f"left {server.name} 1 1"
    third = stack.enter_context(Peer(server.socket, 2)).setup()
    assert server.line() == f"connected {server.name} 2 1"
    settle([first, third])
    assert server.ask("search 2") == "found"
    assert server.ask("close") == f"left {server.name} 0 1\nleft {server.name} 2 1"
    third.until_hung_up()
    assert server.ask("start") == "0", server.ask("error")
    stack.enter_context(Peer(server.socket, 2)).setup()


def test_failed_start_says_why_and_can_be_repeated(host):
    server = host()
    server.socket.write_text("a file\n", encoding="ascii")
    assert int(server.ask("start")) < 0
    assert str(server.socket) in server.ask("error")
    server.socket.unlink()
    assert server.ask("start") == "0"


def test_descriptor_that_does_not_fit_an_fd_set(host):
    server = host(n_fds=1100)
    assert server.ask("start") == "0"
    assert server.ask("high") == "fits 0, unchanged 1, maxfd 6, result EMFILE, unchanged 1"
    server.ask("close")


def test_more_clients_than_an_fd_set_holds(host, stack):
    """select() sees one descriptor, however many there are behind it."""
    server = host(n_vectors=1)
    server.ask("start")
    peers = [stack.enter_context(Peer(server.socket, 1, keep=False)) for _ in range(600)]
    eventually(lambda: server.ask("peers").split("\n")[-1].count("=") == 600)
    last = stack.enter_context(Peer(server.socket, 1, keep=False)).setup()
    assert len(last.present) == 600
    assert peers[599].setup().id == 599


def test_slow_reader(host, stack):
    """A host that runs as root has no limit on descriptors on their way, so it fills the socket of
    a client that does not read. Nothing is dropped for it, nor told twice."""
    server = host(n_vectors=64)
    server.ask("start")
    slow = stack.enter_context(Peer(server.socket, 64, keep=False))
    peers = [stack.enter_context(Peer(server.socket, 64, keep=False)).setup() for _ in range(10)]
    for peer in peers[:5]:
        peer.close()
    last = stack.enter_context(Peer(server.socket, 64, keep=False)).setup()
    settle([slow, *peers[5:], last])
    told = [slow.history.count((peer, True)) for peer in range(1, 6)]
    assert os.geteuid() or [n for n in told if 0 < n < 64], f"nobody was told in part: {told}"
    for peer in peers[5:]:
        peer.close()
    slow.until(lambda: slow.peers.keys() == {last.id})


def test_errors(build, folder):
    program = build("limits")
    (folder / "file").write_text("kept\n", encoding="ascii")
    memory = pathlib.Path("/dev/shm", folder.name)
    memory.write_bytes(bytes(4096))
    try:
        done = subprocess.run([program, folder, folder.name], capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        assert memory.stat().st_size == 4096
        assert sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") == ["file"]
    finally:
        memory.unlink()


def test_client(build, serve, connect, tmp_path):
    server = serve(size="64K", n_vectors=2)
    peer = connect(server).setup()
    done = subprocess.run([build("client"), server.socket, str(peer.id), tmp_path],
                          capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert peer.map[:16] == b"from the program"
    assert [peer.wait(vector, timeout=0) for vector in range(2)] == [3, 2]


def test_port(build, serve, connect):
    """The guest's face, on the host; in guests it is ivshmem-client that uses it."""
    server = serve(size="64K", n_vectors=2)
    peer = connect(server).setup()
    done = subprocess.run([build("port"), f"unix:{server.socket}", str(peer.id)],
                          capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert peer.map[:16] == b"from the program"
    assert [peer.wait(vector, timeout=0) for vector in range(2)] == [0, 1]


def test_library_exports_its_functions_only():
    listed = subprocess.run(["nm", "-D", "--defined-only", build_folder() / "libivshmem.so"],
                            capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
    symbols = {line.split()[2].split("@")[0] for line in listed.splitlines()
               if line.split()[1] != "A"}
    declared = set()
    for header in TREE.glob("include/*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
        declared |= set(re.findall(r"IVSHMEM_API\b[^;{]*?\b(ivshmem_\w+)\(", text))
    assert symbols == declared
