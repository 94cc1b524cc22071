# SPDX-License-Identifier: MIT
"""ivshmem-client doctor on a host: it finds what is wrong with a server's socket, and what not. In a
guest it is tested in real ones."""
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import socket
import tempfile

import pytest
from serve import Server, eventually
from tool import Tool, run


@pytest.fixture(name="server")
def fixture_server(serve):
    return serve(size="64K", n_vectors=2)


def problems(done):
    """What it has found; it says with its status whether that is anything."""
    found = [line.removeprefix("problem: ") for line in done.stdout.decode().splitlines()
             if line.startswith("problem: ")]
    assert done.returncode == (1 if found else 0), done
    return found


def test_nothing_wrong(server, connect):
    connect(server).setup()
    done = run("-S", server.socket, "doctor")
    assert problems(done) == [] and done.stderr == b""
    assert b"ID 1, 65536 bytes of memory, 2 vectors, 1 other peer\n" in done.stdout


def test_no_socket(tmp_path):
    assert problems(run("-S", tmp_path / "socket", "doctor")) == [f"there is no {tmp_path}/socket"]
    (tmp_path / "file").touch()
    assert problems(run("-S", tmp_path / "file", "doctor")) == [f"{tmp_path}/file is no socket"]


def test_dead_server(tmp_path):
    with Server(size="64K") as server:
        os.link(server.socket, tmp_path / "socket")
        server.stop(signal.SIGKILL)
        pathlib.Path("/dev/shm", server.name).unlink(missing_ok=True)
        # The worker may end a moment after the keeper, and the socket with it.
        eventually(lambda: "it is dead" in
                   problems(run("--port", f"unix:{tmp_path}/socket", "doctor"))[0])


def test_server_that_is_silent(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen(1)
        (found,) = problems(run("-S", tmp_path / "socket", "doctor", "--connect-timeout=0.05"))
        assert "it hangs" in found


def doctor_at(path, size, vectors):
    """What it finds at a server that sends it a memory of this size and, by ID, so many vectors of
    each. Its own ID is 0."""
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack, \
            concurrent.futures.ThreadPoolExecutor() as pool:
        memory = os.memfd_create("doctor")
        stack.callback(os.close, memory)
        os.truncate(memory, size)
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(10)
        done = pool.submit(run, "-S", path, "doctor")
        connection = stack.enter_context(listener.accept()[0])
        for number, fds in [(0, []), (0, []), (-1, [memory]),
                            *[(peer, [memory]) for peer, n in vectors.items() for _ in range(n)]]:
            socket.send_fds(connection, [number.to_bytes(8, "little", signed=True)], fds)
        return problems(done.result())


@pytest.mark.parametrize("size, vectors, said", [
    (12288, {0: 1}, ["the memory has 12288 bytes"]),
    (4096, {}, ["the server gives no vectors"]),
    (4096, {1: 2, 2: 1, 3: 1, 0: 2}, [f"peer {peer} has 1 vector, and we have 2" for peer in (2, 3)]),
])
def test_server_that_gives_what_does_not_work(tmp_path, size, vectors, said):
    assert doctor_at(tmp_path / "socket", size, vectors) == said


def test_server_that_hangs_up(serve):
    server = serve(size="64K", more=["--allow-user", str(os.geteuid() + 1)])
    server.expected = ["client refused"]
    (found,) = problems(run("-S", server.socket, "doctor"))
    assert found == f"the server at {server.socket} hangs up"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_no_permission(server, unprivileged):
    with tempfile.TemporaryDirectory(prefix="ivshmem-doctor-") as folder:
        place = pathlib.Path(folder, "socket")
        os.link(server.socket, place)
        place.chmod(0o600)
        (found,) = problems(run("-S", place, "doctor", user=unprivileged, group=unprivileged,
                                extra_groups=[]))
        assert f"user {unprivileged} cannot see {place}: Permission denied" in found
        pathlib.Path(folder).chmod(0o755)
        (found,) = problems(run("-S", place, "doctor", user=unprivileged, group=unprivileged,
                                extra_groups=[]))
        assert f"user {unprivileged} may not connect to {place}, which belongs to 0:0" in found


def test_peer(server):
    assert problems(run("-S", server.socket, "doctor", 7)) == ["there is no peer 7"]
    with Tool("-S", server.socket, "pong") as pong:
        peer = pong.line().split()[1].removeprefix("id=")
        done = run("-S", server.socket, "doctor", peer)
        assert problems(done) == [] and f"peer {peer} answers, in" in done.stdout.decode()
    with Tool("-S", server.socket, "watch") as silent:
        peer = silent.until("ready ") and silent.line().split()[0].removeprefix("id=")
        (found,) = problems(run("-S", server.socket, "doctor", peer))
        assert f"peer {peer} does not answer" in found


def test_memory_in_use(server, connect):
    peer = connect(server).setup()
    peer.map[100] = 1
    done = run("-S", server.socket, "doctor", 0)
    assert problems(done) == ["peer 0 cannot be asked to answer"]
    assert b"not empty" in done.stderr and peer.map[100] == 1


@pytest.mark.parametrize("words, said", [
    (["setup"], "no ivshmem device"),
    (["setup", "-S", "/x"], "setup is for a device"),
    (["setup", "--port=unix:/x"], "setup is for a device"),
    (["setup", "--port=pci:9"], "no ivshmem device '9'"),
    (["list", "--undo"], "--undo does not go with list"),
    (["doctor", "--group=x"], "--group does not go with doctor"),
    (["doctor", "65536"], "peer '65536'"),
])
def test_wrong_use(words, said):
    done = run(*words)
    assert done.returncode == 1 and said in done.stderr.decode()
