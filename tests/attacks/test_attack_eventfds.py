# SPDX-License-Identifier: MIT
"""A peer that fills eventfds to their maximum and clears O_NONBLOCK on them. The server never writes
to one; ivshmem-client, with the library beneath it, rings and waits as if nothing were."""

import contextlib
import fcntl
import os
import struct

import pytest
from tool import Tool, run

MOST = struct.pack("=Q", (1 << 64) - 2)


def meddle(fd, full):
    """As full or as empty as it can be, and blocking."""
    if full:
        with contextlib.suppress(BlockingIOError):
            os.read(fd, 8)
        os.write(fd, MOST)
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)


@pytest.mark.parametrize("full", [True, False], ids=["full", "empty"])
@pytest.mark.parametrize("whose", ["its own", "another peer's"])
def test_server_and_others_go_on(scene, full, whose):
    scene = scene(n_vectors=3)
    attacker, other = scene.connect().setup(), scene.connect().setup()
    attacker.until_told(other.id)
    for fd in attacker.vectors if whose == "its own" else attacker.peers[other.id]:
        meddle(fd, full)
    scene.pair.check()
    # They are sent on as they are.
    late = scene.connect().setup()
    victim = attacker.id if whose == "its own" else other.id
    assert not fcntl.fcntl(late.peers[victim][0], fcntl.F_GETFL) & os.O_NONBLOCK
    attacker.close()
    scene.pair.check()
    late.until_gone(attacker.id)


@pytest.mark.parametrize("full", [True, False], ids=["full", "empty"])
def test_ringing_one(scene, full):
    """With the library, which does not wait for its owner to read."""
    scene = scene(n_vectors=2)
    attacker = scene.connect().setup()
    for fd in attacker.vectors:
        meddle(fd, full)
    done = run("-S", scene.server.socket, "ring", str(attacker.id), "1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert attacker.wait(1) == ((1 << 64) - 2 if full else 1)


def test_ringing_one_that_is_made_blocking_in_between(scene):
    """A client that knew it before: interactive, rings, and goes on to the next command."""
    scene = scene()
    attacker = scene.connect().setup()
    with Tool("-S", scene.server.socket) as tool:
        tool.until("cmd> ")
        meddle(attacker.vectors[0], True)
        tool.type(f"int {attacker.id} 0\n")
        tool.until("cmd> ")
        tool.type("quit\n")
        assert tool.wait() == 0


def test_waiting_on_one(scene):
    """The owner's own wait keeps its time, though a peer has made its eventfd blocking."""
    scene = scene()
    attacker = scene.connect().setup()
    with Tool("-S", scene.server.socket, "wait", "--timeout", "2") as tool:
        attacker.until(lambda: len(attacker.peers) == 3)
        (victim,) = set(attacker.peers) - set(scene.pair.ids)
        meddle(attacker.peers[victim][0], False)
        assert tool.wait() == 2


def test_waking_one_that_waits(scene):
    """And a doorbell on it arrives."""
    scene = scene()
    attacker = scene.connect().setup()
    with Tool("-S", scene.server.socket, "wait", "--timeout", "20") as tool:
        attacker.until(lambda: len(attacker.peers) == 3)
        (victim,) = set(attacker.peers) - set(scene.pair.ids)
        meddle(attacker.peers[victim][0], False)
        attacker.ring(victim, 0)
        assert tool.wait() == 0
