# SPDX-License-Identifier: MIT
"""The limits that go beyond QEMU's options. Each that is reached is told in a line with its name in
the library, its value and who ran into it; whoever waits costs no time."""

import contextlib
import os
import socket
import time

import pytest
from peer import settle
from serve import eventually, offers

pytestmark = pytest.mark.skipif(not offers("--max-clients"), reason="a server without limits")

ME = f"pid {os.getpid()}, uid {os.geteuid()}"


@pytest.fixture(name="limited")
def fixture_limited(serve):
    """Starts a server with a limit whose line on standard error the test names."""

    def start(*options, says=None, **more):
        server = serve(more=options, **more)
        server.expected += [says] if says else []
        return server

    return start


def wait_for_line(server, *parts):
    def found():
        return [line for line in server.errors().splitlines() if all(p in line for p in parts)]

    return eventually(found, what=f"a line with {parts}")


def spends_nothing(server, seconds=1.0):
    before = server.cpu()
    time.sleep(seconds)  # what is measured is this time
    assert server.cpu() - before < 0.02


def test_max_clients(limited, connect):
    server = limited("--max-clients", "3", says="max_clients")
    peers = [connect(server).setup() for _ in range(3)]
    wait_for_line(server, "limit of 3 clients", "max_clients", ME)
    waits = [connect(server) for _ in range(5)]
    spends_nothing(server)
    assert all(not peer.history and not peer.closed(timeout=0) for peer in waits)
    settle(peers)
    peers.pop().close()
    waits[0].setup()
    settle([*peers, waits.pop(0)])
    spends_nothing(server, 0.3)
    assert all(not peer.closed(timeout=0) for peer in waits)


@contextlib.contextmanager
def as_user(uid):
    os.seteuid(uid)
    yield
    os.seteuid(0)


def test_as_many_clients_as_descriptors(limited, connect, unprivileged):
    """The limit on clients follows from the one on descriptors, and is told as that."""
    server = limited(says="RLIMIT_NOFILE", nofile=64, user=unprivileged)
    peers = []
    while not server.errors():
        peers.append(connect(server).setup())
        assert len(peers) < 32
    wait_for_line(server, "RLIMIT_NOFILE", f"limit of {len(peers)} clients", ME)
    waits = connect(server)
    spends_nothing(server, 0.5)
    settle(peers)
    peers.pop().close()
    settle([*peers, waits])


def test_max_clients_per_user(limited, connect, unprivileged):
    server = limited("--max-clients-per-user", "2", says="max_clients_per_uid 2", umask=0)
    peers = [connect(server).setup() for _ in range(2)]
    for _ in range(3):
        refused = connect(server)
        refused.until_hung_up()
        assert not refused.history
    wait_for_line(server, "max_clients_per_uid 2", ME)
    if os.geteuid() == 0:
        server.folder.chmod(0o755)
        with as_user(unprivileged):
            peers += [connect(server) for _ in range(2)]
            refused = connect(server)
        refused.until_hung_up()
        wait_for_line(server, "max_clients_per_uid 2", f"uid {unprivileged}")
    settle(peers)
    peers.pop(0).close()
    peers[-1].until_gone(0)
    settle([*peers, connect(server)])


def test_max_accepts(limited, connect):
    """A second's worth comes at once, the rest at that rate."""
    server = limited("--max-accepts", "20", says="max_accepts_per_s")
    began = time.monotonic()
    peers = [connect(server) for _ in range(30)]
    settle(peers)
    took = time.monotonic() - began
    assert 0.4 < took < 3, "30 at 20 a second, of which 20 may come at once"
    spends_nothing(server)


def test_max_accepts_spends_nothing_on_those_who_wait(limited, connect):
    server = limited("--max-accepts", "1",
                     says=f"than max_accepts_per_s 1: pid {os.getpid()}, uid {os.geteuid()} waits")
    first = connect(server).setup()
    late = connect(server)
    spends_nothing(server, 0.5)
    assert not late.closed(timeout=0)
    settle([first, late])


@pytest.mark.parametrize("n", [1, 5])
def test_backlog(limited, connect, n):
    server = limited("--backlog", str(n))
    server.pause()
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(n + 1):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            sock.connect(str(server.socket))
            socks.append(sock)
        one_more = stack.enter_context(socket.socket(socket.AF_UNIX))
        one_more.setblocking(False)
        with pytest.raises(BlockingIOError):
            one_more.connect(str(server.socket))
    server.resume()
    settle([connect(server)])


def test_long_backlog_by_default(serve, connect):
    """Many virtual machines start at once, and a busy server must not refuse one of them."""
    server = serve()
    server.pause()
    peers = [connect(server, timeout=2) for _ in range(100)]
    server.resume()
    for peer in peers:
        peer.setup()


def test_setup_timeout(limited, connect):
    server = limited("--setup-timeout", "300", says="setup_timeout_ms 300")
    reads = connect(server).setup()
    slow = connect(server)
    reads.until_told(1)
    began = time.monotonic()
    reads.until_gone(1)
    assert time.monotonic() - began < 2
    slow.until_hung_up()
    wait_for_line(server, "setup_timeout_ms 300", ME)
    # Whoever has read its set-up may read nothing for as long as it likes.
    silent = connect(server).setup()
    reads.until_told(silent.id)
    time.sleep(0.6)  # what is measured is this time
    settle([reads, silent])
    spends_nothing(server, 0.3)


def test_no_setup_timeout_by_default(serve, connect):
    server = serve()
    slow, reads = connect(server), connect(server).setup()
    spends_nothing(server, 1.0)
    settle([slow, reads])
