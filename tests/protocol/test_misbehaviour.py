# SPDX-License-Identifier: MIT
"""Clients that probe, write, hang up and die: they end, and nobody else is disturbed."""

import contextlib
import os
import socket
import struct

import pytest
from peer import read_all, settle
from puppet import Puppet


@pytest.fixture(name="scene")
def fixture_scene(serve, connect):
    """A server with two clients, who must still be all right at the end and work with a third."""
    server = serve(n_vectors=2)
    others = [connect(server).setup() for _ in range(2)]
    settle(others)
    yield server, others
    others.append(connect(server).setup())
    settle(others)
    for receiver in others:
        for sender in others:
            sender.ring(receiver.id, 1)
            assert receiver.wait(1) == 1


def probe(server):
    """Waits where the backlog is full, which settimeout() would not."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 10, 0))
        sock.connect(str(server.socket))


@pytest.mark.parametrize("n", [1, 100])
def test_probe_that_has_hung_up_costs_no_id_and_is_announced_to_nobody(scene, connect, n):
    server, others = scene
    server.pause()
    for _ in range(n):
        probe(server)
    server.resume()
    next_one = connect(server).setup()
    assert next_one.id == 2
    settle([*others, next_one])
    assert [peer.history[-1][0] for peer in others] == [2, 2] and not others[0].gone
    next_one.close()
    read_all(others, lambda: all(2 in peer.gone for peer in others))


def test_probes_while_the_server_runs(scene):
    server, _ = scene
    for _ in range(300):
        probe(server)


BEFORE_ACCEPT = {
    "writes": lambda sock: sock.send(b"x"),
    "writes and hangs up": lambda sock: (sock.send(b"x"), sock.close()),
    "shuts its writing side": lambda sock: sock.shutdown(socket.SHUT_WR),
    "shuts its reading side": lambda sock: sock.shutdown(socket.SHUT_RD),
    "shuts both sides": lambda sock: sock.shutdown(socket.SHUT_RDWR),
}


@pytest.mark.parametrize("what", BEFORE_ACCEPT)
def test_client_that_is_out_before_it_is_served_costs_no_id(scene, connect, what):
    server, others = scene
    server.pause()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(server.socket))
        BEFORE_ACCEPT[what](sock)
        server.resume()
        others.append(connect(server).setup())
        assert others[-1].id == 2
        settle(others)
        assert not any(peer.gone for peer in others)


@pytest.mark.parametrize("has_read", [True, False], ids=["after its set-up", "at once"])
@pytest.mark.parametrize("n_bytes", [1, 8, 4 << 20])
def test_client_that_writes_is_disconnected(scene, connect, n_bytes, has_read):
    server, others = scene
    bad = connect(server)
    if has_read:
        bad.setup()
    rest = n_bytes
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
        while rest:
            rest -= bad.socket.send(bytes(rest))
    bad.until_hung_up()
    if has_read:
        read_all(others, lambda: all(bad.id in peer.gone for peer in others))


@pytest.mark.parametrize("n_fds", [1, 250])
def test_client_that_sends_descriptors_is_disconnected_and_they_are_not_kept(
        scene, connect, n_fds):
    server, others = scene
    bad = connect(server).setup()
    reader, writer = os.pipe()
    try:
        socket.send_fds(bad.socket, [b"8 bytes."], [writer] * n_fds)
        os.close(writer)
        bad.until_hung_up()
        read_all(others, lambda: all(bad.id in peer.gone for peer in others))
        bad.close()
        os.set_blocking(reader, False)
        assert os.read(reader, 1) == b"", "the server holds what it was sent"
    finally:
        os.close(reader)


def test_client_that_shuts_its_writing_side_has_hung_up(scene, connect):
    server, others = scene
    bad = connect(server).setup()
    bad.socket.shutdown(socket.SHUT_WR)
    bad.until_hung_up()
    read_all(others, lambda: all(bad.id in peer.gone for peer in others))


def test_client_that_shuts_its_reading_side(scene, connect):
    """It cannot be told of the next one who comes, so it is gone for all by then."""
    server, others = scene
    bad = connect(server).setup()
    read_all(others, lambda: all(bad.id in peer.peers for peer in others))
    bad.socket.shutdown(socket.SHUT_RD)
    others.append(connect(server).setup())
    read_all(others, lambda: not any(bad.id in peer.peers for peer in others))
    settle(others)


# With two peers of two vectors the set-up has 3 + 4 + 2 messages.
@pytest.mark.parametrize("n_messages", range(10))
def test_client_that_is_killed_in_any_state(scene, connect, n_messages):
    server, others = scene
    with Puppet(server, n_messages):
        pass
    # Whoever comes now may be told of it and its departure, or of nothing.
    newcomer = connect(server).setup()
    settle([*others, newcomer])
    newcomer.close()
    read_all(others, lambda: all(newcomer.id in peer.gone for peer in others))


def test_client_that_is_killed_while_the_server_is_telling_it(serve, connect):
    """It has read nothing, and the server waits for room in its socket."""
    server = serve(n_vectors=64)
    others = [connect(server, keep=False).setup() for _ in range(8)]
    settle(others)
    with Puppet(server, 0):
        read_all(others, lambda: all(len(peer.peers) == 8 for peer in others))
    settle(others)


def test_client_that_closes_without_reading(scene, connect):
    """Its socket is full of descriptors that nobody will ever receive."""
    server, others = scene
    for _ in range(50):
        connect(server).close()
    read_all(others, lambda: all(peer.settled and len(peer.peers) == 1 for peer in others))
