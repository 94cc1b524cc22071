# SPDX-License-Identifier: MIT
"""ivshmem-client ping and pong between host processes, against a real server."""
import json
import signal

import pytest
from serve import eventually
from tool import Tool, run

FIGURES = ["min", "p50", "p90", "p99", "p99.9", "max"]
BLOCK = 256


@pytest.fixture(name="server")
def fixture_server(serve):
    return serve(size="8K", n_vectors=2)


@pytest.fixture(name="memory")
def fixture_memory(server, connect):
    """A peer that looks at the memory, and has the ID 0."""
    return connect(server).setup().map


@pytest.fixture(name="pong")
def fixture_pong(server, memory, stack):
    """Starts one with the ID 1."""

    def start(*options):
        tool = stack.enter_context(Tool("-S", server.socket, "pong", *options))
        assert tool.line() == "ready id=1 vectors=2"
        return tool

    return start


def answered(memory):
    """Whether a ping has been answered, by the pong's counter: it has both its own then."""
    return memory[64:72] == memory[128:136] != bytes(8)


def ping(server, *options):
    return run("-S", server.socket, "ping", 1, *options)


@pytest.mark.parametrize("options", [[], ["--spin"], ["--vector=1", "--offset=4K"],
                                     ["--interval", "0.001"]], ids=" ".join)
def test_figures(server, memory, pong, options):
    pong(*[option for option in options if option.startswith(("--vector", "--offset"))])
    done = ping(server, "--count", 50, "--json", *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["peer"], told["count"], told["unit"]) == (1, 50, "us")
    assert told["spin"] == ("--spin" in options)
    assert told["offset"] == (4096 if "--offset=4K" in options else 0)
    times = [told[name] for name in FIGURES]
    assert 0 < times[0] and times == sorted(times)
    assert memory[:] == bytes(8192)  # it is left as it was found


def test_figures_as_text(server, pong):
    pong()
    lines = ping(server, "--count=3").stdout.decode().splitlines()
    assert lines[0] == "peer 1 round-trips 3 spin no offset 0 rung-again 0"
    assert [line.split()[0] for line in lines[1:]] == FIGURES
    assert all(line.endswith(" us") for line in lines[1:])


def test_one_after_the_other(server, pong):
    """A pong answers any number of pings, also when each counts as far as the last."""
    tool = pong("--count=8")
    for option in ["--json", "--spin"] * 4:
        assert json.loads(ping(server, "--count=1", "--json", option).stdout)["count"] == 1
    assert tool.wait() == 0


def test_refuses_memory_in_use(server, memory, pong):
    tool = pong()
    memory[8000] = 1
    done = ping(server, "--count=1")
    assert done.returncode == 1 and b"not empty: there is something at 8000" in done.stderr
    assert ping(server, "--count=1", "--force").returncode == 0
    assert ping(server, "--count=1", "--offset=0").returncode == 0
    memory[BLOCK - 1] = 1
    done = ping(server, "--count=1", "--offset=0")
    assert done.returncode == 1 and b"something at 248" in done.stderr
    assert memory[8000] == 1 and memory[BLOCK - 1] == 1
    assert tool.end() == 0


def test_nobody_answers(server, memory):
    with Tool("-S", server.socket, "watch") as tool:
        tool.until("ready id=1")
        done = ping(server, "--timeout=0.2")
        assert done.returncode == 2 and b"peer 1 does not answer" in done.stderr
        assert memory[:] == bytes(8192)


def test_killed_pong(server, memory, pong):
    """The ping says so; the next one finds the memory empty."""
    tool = pong()
    with Tool("-S", server.socket, "ping", 1, "--count=1000000", "--interval=0.001") as pinger:
        eventually(lambda: answered(memory), what="an answer")
        tool.process.kill()
        assert pinger.wait() in (1, 2)
        assert "peer 1" in pinger.until("\n", pinger.process.stderr)
    assert memory[:] == bytes(8192)


def test_killed_ping(server, memory, pong):
    """What it leaves is not overwritten unless told; the pong goes on."""
    pong()
    with Tool("-S", server.socket, "ping", 1, "--count=1000000", "--interval=10") as pinger:
        eventually(lambda: answered(memory), what="an answer")
        pinger.process.kill()
        pinger.wait()
    done = ping(server, "--count=1")
    assert done.returncode == 1 and b"another ping runs there, or was killed" in done.stderr
    assert ping(server, "--count=1", "--force").returncode == 0
    assert memory[:] == bytes(8192)


def test_interrupted(server, memory, pong):
    """SIGINT ends a ping with the figures so far."""
    pong()
    with Tool("-S", server.socket, "ping", 1, "--interval=10") as pinger:
        eventually(lambda: answered(memory), what="an answer")
        assert pinger.end(signal.SIGINT) == 0
        assert "round-trips 1 " in pinger.line()
    assert memory[:] == bytes(8192)


def test_pong_gives_up(server):
    done = run("-S", server.socket, "pong", "--timeout=0.05")
    assert done.returncode == 2 and done.stdout.startswith(b"ready")


@pytest.mark.parametrize("words, said", [
    (["ping", "7"], "there is no peer 7"),
    (["ping", "65536"], "peer '65536'"),
    (["ping", "0", "--vector=2"], "there is no vector 2: we have 2"),
    (["pong", "--vector=2"], "there is no vector 2: we have 2"),
    (["ping", "0", "--offset=8K"], "no room for 256 bytes in the memory, which has 8192"),
    (["ping", "0", "--offset=7937"], "not a multiple of 64"),
    (["ping", "0", "--count=0"], "--count '0'"),
    (["ping"], "it is 'ping PEER'"),
    (["pong", "--spin"], "--spin does not go with pong"),
    (["pong", "--json"], "--json does not go with pong"),
    (["list", "--offset=0"], "--offset does not go with list"),
])
def test_wrong_use(server, words, said):
    done = run("-S", server.socket, *words)
    assert done.returncode == 1
    assert said in done.stderr.decode() and done.stderr.count(b"\n") == 1
