# SPDX-License-Identifier: MIT
"""ivshmem-client with a command, as scripts use it, against a real server."""
import json
import re
import signal
import socket
import subprocess

import pytest
from tool import Tool, client_program, run


@pytest.fixture(name="server")
def fixture_server(serve):
    return serve(size="64K", n_vectors=2)


@pytest.fixture(name="peer")
def fixture_peer(server, connect):
    peer = connect(server)
    peer.setup()
    return peer


def expect_error(done, *words):
    assert done.returncode == 1
    said = done.stderr.decode()
    assert said.startswith("ivshmem-client: ") and said.count("\n") == 1
    for word in words:
        assert word in said


def test_list(server, peer):
    done = run("-S", server.socket, "list")
    assert done.returncode == 0
    assert done.stdout == b"id 1\nmemory 65536\nvectors 2\npeer 0 vectors 2\n"


def test_list_as_json(server, peer):
    done = run("--socket", server.socket, "list", "--json")
    told = json.loads(done.stdout)
    assert told["memory"] == 65536 and told["vectors"] == 2
    assert told["peers"] == [{"id": 0, "vectors": 2}]


def test_port_in_place_of_the_socket(server, peer):
    port = f"unix:{server.socket}"
    assert run("--port", port, "list").stdout.endswith(b"vectors 2\npeer 0 vectors 2\n")
    assert run("--port", port, "ring", "0", "0").returncode == 0
    assert peer.wait(0)


def test_list_alone(server):
    done = run("-S", server.socket, "--vectors", 2, "list", "--json")
    assert json.loads(done.stdout) == {"id": 0, "memory": 65536, "vectors": 2, "peers": []}


@pytest.mark.parametrize(
    "words, rung", [(["0", "1"], {1}), (["0", "all"], {0, 1}), (["all"], {0, 1})]
)
def test_ring(server, peer, words, rung):
    assert run("-S", server.socket, "ring", *words).returncode == 0
    for vector in rung:
        assert peer.wait(vector)


@pytest.mark.parametrize(
    "words, said",
    [
        (["7", "0"], "no peer 7"),
        (["0", "2"], "peer 0 has no vector 2: it has 2"),
        (["65536", "0"], "peer '65536'"),
        (["x", "0"], "peer 'x'"),
        (["0", "-1"], "option '-1'"),
        (["0"], "which vector"),
        ([], "wrong number of arguments"),
    ],
)
def test_ring_nobody(server, peer, words, said):
    expect_error(run("-S", server.socket, "ring", *words), said)


def test_wait(server, peer):
    with Tool("-S", server.socket, "wait", "1") as tool:
        assert tool.line() == "ready id=1 vectors=2 peers=1"
        peer.until_told(1)
        peer.ring(1, 0)
        assert tool.line() == "ring vector=0"
        peer.ring(1, 1)
        assert tool.line() == "ring vector=1"
        assert tool.wait() == 0


def test_wait_for_any(server, peer):
    with Tool("-S", server.socket, "wait", "--timeout=15", "--json") as tool:
        assert json.loads(tool.line())["event"] == "ready"
        peer.until_told(1)
        peer.ring(1, 1)
        assert json.loads(tool.line()) == {"event": "ring", "vector": 1}
        assert tool.wait() == 0


def test_wait_in_vain(server):
    done = run("-S", server.socket, "wait", "--timeout", "0.05")
    assert (done.returncode, done.stderr) == (2, b"")


def test_wait_in_vain_while_others_are_rung(server, peer):
    with Tool("-S", server.socket, "wait", "1", "--timeout", "0.2") as tool:
        assert tool.line().startswith("ready")
        peer.until_told(1)
        with pytest.raises(EOFError):
            for _ in range(100000):
                peer.ring(1, 0)
                assert tool.line() == "ring vector=0"
        assert tool.wait() == 2


def test_wait_for_no_vector(server):
    expect_error(run("-S", server.socket, "wait", "2", "--timeout", "5"), "no vector 2: we have 2")


def test_wait_interrupted(server):
    with Tool("-S", server.socket, "wait") as tool:
        assert tool.line().startswith("ready")
        assert tool.end() == 1


def test_watch(server, connect):
    with Tool("-S", server.socket, "watch") as tool:
        assert tool.line() == "ready id=0 vectors=2 peers=0"
        with connect(server) as peer:
            peer.setup()
            assert tool.line() == "peer-connected id=1 vectors=2"
            peer.ring(0, 1)
            assert tool.line() == "ring vector=1"
        assert tool.line() == "peer-left id=1"
        assert tool.end() == 0


def test_watch_as_json(server, peer):
    with Tool("-S", server.socket, "watch", "--json") as tool:
        assert json.loads(tool.line()) == {"event": "peer-connected", "id": 0, "vectors": 2}
        assert json.loads(tool.line()) == {"event": "ready", "id": 1, "vectors": 2, "peers": 1}
        peer.close()
        assert json.loads(tool.line()) == {"event": "peer-left", "id": 0}
        assert tool.end(signal.SIGTERM) == 0


def test_watch_until_the_server_ends(server):
    with Tool("-S", server.socket, "watch") as tool:
        assert tool.line().startswith("ready")
        server.stop()
        assert tool.line() == "disconnected"
        assert tool.wait() == 1
        tool.until("the server has closed the connection\n", tool.process.stderr)


def test_memory(server, peer):
    everything = bytes(range(256)) * 256
    assert run("-S", server.socket, "write", 0, given=everything).returncode == 0
    assert run("-S", server.socket, "read", 0, "64K").stdout == everything
    assert run("-S", server.socket, "read", 65534, 2).stdout == b"\xfe\xff"
    assert run("-S", server.socket, "write", "65534", given=b"ok").returncode == 0
    assert peer.map[65534:65536] == b"ok"
    nothing = run("-S", server.socket, "read", "64K", 0)
    assert (nothing.returncode, nothing.stdout) == (0, b"")
    assert run("-S", server.socket, "write", "64K").returncode == 0


@pytest.mark.parametrize(
    "words, said",
    [
        (["read", 65536, 1], "which has 65536 bytes"),
        (["read", 0, 65537], "which has 65536 bytes"),
        (["read", 1, 2**64 - 1], "which has 65536 bytes"),
        (["read", "x", 1], "offset 'x'"),
        (["read", 0, 2**64], "length '18446744073709551616'"),
        (["read", 0], "wrong number of arguments; it is 'read OFFSET LENGTH'"),
        (["write", 65537], "which has 65536 bytes"),
        (["write", 65536], "past the end of the memory"),
    ],
)
def test_outside_of_the_memory(server, words, said):
    expect_error(run("-S", server.socket, *words, given=b"x"), said)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_standard_descriptors_that_are_closed(server, closed):
    """Else the connection to the server gets the number of one of them."""
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", client_program(), "-S", server.socket]
    for words, needs in [(["list"], ">&-"), (["read", "0", "4"], ">&-"), (["write", "0"], "<&-")]:
        done = subprocess.run([*shell, *words], input=b"" if closed != "<&-" else None,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, check=False)
        assert done.returncode == (1 if closed == needs else 0), (words, done)
        if closed == needs:
            assert b"Bad file descriptor" in done.stderr
    done = subprocess.run([*shell], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          timeout=20, check=False)
    assert done.returncode == (1 if closed == ">&-" else 0), "interactive use ends"


def test_full_output(server):
    with open("/dev/full", "wb") as full:
        done = run("-S", server.socket, "read", 0, 1, stdout=full)
    expect_error(done, "standard output: No space left on device")


def test_full_output_ends_a_watch(server):
    """At the first line that is lost."""
    with open("/dev/full", "wb") as full:
        done = run("-S", server.socket, "watch", stdout=full)
    expect_error(done, "standard output: No space left on device")


@pytest.mark.parametrize(
    "words, said",
    [
        (["-S", "/nonexistent/socket", "list"], "/nonexistent/socket: No such file"),
        (["-S", "x" * 108, "list"], "File name too long"),
        (["-S", "", "list"], "the socket ''"),
        (["-S"], "a value is missing after '-S'"),
        (["-x"], "unknown option '-x'"),
        (["--frob"], "unknown option '--frob'"),
        (["--conn", "1", "list"], "unknown option '--conn'"),
        (["frob"], "unknown command 'frob'"),
        (["list", "x"], "it is 'list'"),
        (["list", "--timeout=1"], "--timeout does not go with list"),
        (["ring", "1", "1", "--json"], "--json does not go with ring"),
        (["--json"], "--json does not go with interactive use"),
        (["--timeout=-1", "wait"], "--timeout '-1'"),
        (["--timeout=inf", "wait"], "--timeout 'inf'"),
        (["--connect-timeout=", "list"], "--connect-timeout ''"),
        (["--vectors=2049", "list"], "--vectors '2049'"),
        (["wait", "2048"], "vector '2048'"),
        (["--port=/tmp/x", "list"], "'/tmp/x' is no port"),
        (["--port=pci:99", "list"], "no ivshmem device number 99"),
        (["--port=pci:x", "list"], "'x' is neither a PCI address"),
        (["--port=pci:auto"], "interactive use is for a server's socket"),
        (["--port=unix:/x", "-S", "/x", "list"], "--socket and --port both"),
    ],
)
def test_wrong_use(words, said):
    expect_error(run(*words), said)


def test_server_that_is_silent(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        expect_error(run("-S", path, "list", "--connect-timeout", "0.05"), path, "in time")


def test_verbose_leaves_the_output_alone(server):
    done = run("-S", server.socket, "-v", "read", 0, 1)
    assert done.stdout == b"\0"
    assert b"shm_fd=" in done.stderr


def test_version():
    assert re.fullmatch(rb"ivshmem-client \d+\.\d+\.\d+\n", run("--version").stdout)
