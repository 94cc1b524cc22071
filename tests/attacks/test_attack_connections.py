# SPDX-License-Identifier: MIT
"""Clients that write, stall, shut down, flood, are stopped and die, beside two peers that go on."""

import contextlib
import fcntl
import os
import signal
import socket
import struct
import termios
import time

import pytest
from actor import Actor
from configured import Configured
from disturbances import new_worker
from peer import Peer
from puppet import Puppet
from serve import eventually

NEWCOMERS_MAX = 5000


def ended(scene, attacker):
    """The server ends this client, and keeps nothing of it."""
    attacker.until_hung_up()
    attacker.close()
    eventually(lambda: scene.server.n_fds() == scene.fds, what="no descriptor of the attacker left")


@pytest.fixture(name="attacked")
def fixture_attacked(scene):
    """A scene that knows how many descriptors the server has with the pair alone."""
    attacked = scene(n_vectors=2)
    attacked.fds = attacked.server.fds_at_start + 2 * (1 + 2)
    return attacked


# Writing. What a client sends is never read, so it does not matter where it is cut.

@pytest.mark.parametrize("has_read", [True, False], ids=["set up", "at once"])
@pytest.mark.parametrize("n_bytes", range(1, 18))
def test_message_cut_short_at_each_byte(attacked, n_bytes, has_read):
    attacker = attacked.connect()
    if has_read:
        attacker.setup()
    attacker.socket.send(bytes(17)[:n_bytes])
    ended(attacked, attacker)


def test_megabytes(attacked):
    attacker = attacked.connect().setup()
    attacker.socket.setblocking(True)
    with pytest.raises(OSError):
        for _ in range(64):
            attacker.socket.send(bytes(1 << 20))
    attacker.socket.setblocking(False)
    ended(attacked, attacker)


@pytest.mark.parametrize("has_read", [True, False], ids=["set up", "at once"])
@pytest.mark.parametrize("n_fds", [1, 64, 253])
def test_descriptors(attacked, n_fds, has_read):
    """Nothing is kept: the other end of the pipe is the last one."""
    attacker = attacked.connect()
    if has_read:
        attacker.setup()
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        for _ in range(10):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(attacker.socket, [b"x"], [writer] * n_fds)
        os.close(writer)
        ended(attacked, attacker)
        assert pipe.read(1) == b""


def test_its_own_socket_sent_to_the_server(attacked):
    """A descriptor that is on its way to itself: nobody holds it but the kernel."""
    attacker = attacked.connect()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        socket.send_fds(attacker.socket, [b"x"], [attacker.socket.fileno()])
    attacker.close()
    eventually(lambda: attacked.server.n_fds() == attacked.fds)


@pytest.mark.parametrize("way", [socket.SHUT_WR, socket.SHUT_RDWR])
@pytest.mark.parametrize("n_messages", range(10))
def test_shut_down_in_each_state(attacked, n_messages, way):
    """The set-up beside the pair has 3 + 4 + 2 messages."""
    attacker = attacked.connect()
    for _ in range(n_messages):
        attacker.read()
    attacker.socket.shutdown(way)
    ended(attacked, attacker)


def test_shut_reading_side(attacked):
    """It cannot be told of the next one, and is out by then."""
    attacker = attacked.connect().setup()
    attacker.socket.shutdown(socket.SHUT_RD)
    attacked.newcomer()
    eventually(lambda: attacked.server.n_fds() == attacked.fds)


@pytest.mark.parametrize("n_messages", range(10))
def test_death_in_each_state_of_the_set_up(attacked, n_messages):
    for _ in range(3):
        with Puppet(attacked.server, n_messages):
            pass
        eventually(lambda: attacked.server.n_fds() == attacked.fds)
    attacked.newcomer()


# Stalling

def test_five_hundred_that_never_read(scene, uid):
    """Its descriptors on their way are counted per user, so this server has a user of its own."""
    scene = scene(user=uid, nofile=4096)
    stalled = [scene.connect(keep=False) for _ in range(500)]
    for _ in range(3):
        began = time.monotonic()
        scene.newcomer()
        assert time.monotonic() - began < 5
        scene.pair.check()
    for peer in stalled[::50]:
        peer.setup(timeout=30)
    for peer in stalled:
        peer.close()


def has_memory(peer):
    """Whether the first three messages wait for it."""
    waiting = fcntl.ioctl(peer.socket, termios.FIONREAD, bytes(4))
    return struct.unpack("i", waiting)[0] >= 3 * 8


@pytest.mark.parametrize("n_vectors", [1, 4])
def test_five_hundred_that_never_read_one_by_one(scene, uid, n_vectors):
    """Each takes what it may have, before the next one comes."""
    scene = scene(user=uid, nofile=4096, n_vectors=n_vectors)
    for _ in range(500):
        stalled = scene.connect(keep=False)
        eventually(lambda stalled=stalled: has_memory(stalled))
    for _ in range(3):
        scene.newcomer()
        scene.pair.check()


def test_silent_clients_of_all_regions_leave_room(place, stack, uid):
    """The kernel counts per user, whichever region they are of; the next worker knows it, too."""
    os.chown(place.folder, uid, uid)
    configured = Configured(place, stack)
    regions = "abcd"
    for name in regions:
        configured.write(name, f"[region]\nsize=64K\nvectors=16\n[listener l]\nsocket={{folder}}/{name}")
    server = configured.start(user=uid, nofile=4096)
    for name in regions:
        silent = [stack.enter_context(Peer(place.folder / name, 16, keep=False)) for _ in range(32)]
        for peer in silent:
            eventually(lambda peer=peer: has_memory(peer))
    for _ in range(2):
        for name in regions * 2:
            with Peer(place.folder / name, 16, keep=False) as newcomer:
                newcomer.setup()
        worker = new_worker(server.process.pid, None)
        os.kill(worker, signal.SIGKILL)
        new_worker(server.process.pid, worker)


def stopped_for(scene, seconds):
    """A client that has a full socket and is stopped, while others come and go: not so many that
    the IDs, of which each uses one up while the pair stays, run out."""
    server = scene.server
    with Actor(lambda channel, path: stay(channel, path, server.n_vectors), str(server.socket)) as actor:
        actor.hear()
        actor.stop()
        until = time.monotonic() + seconds
        newcomers = 0
        while time.monotonic() < until:
            if newcomers < NEWCOMERS_MAX:
                scene.newcomer()
            newcomers += 1
            scene.pair.check()
        actor.go_on()
        actor.say("end")
        assert actor.result() == scene.pair.ids


def stay(channel, path, n_vectors):
    """Gives the peers that it knows in the end."""
    with Peer(path, n_vectors, keep=False) as peer:
        peer.setup()
        channel.send(peer.id)
        channel.receive()
        peer.drain()
        peer.until(lambda: len(peer.peers) == 2)
        return sorted(peer.peers)


def test_stopped_client(scene):
    stopped_for(scene(n_vectors=8), 10)


@pytest.mark.long
def test_client_stopped_for_a_minute(scene):
    stopped_for(scene(n_vectors=8), 60)


# Flooding

def flood(channel, path):
    """Connects as fast as it can until it is told to stop; gives how often it got in."""
    count = 0
    while not channel.asked(0):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(path)
                count += 1
    return count


@pytest.mark.parametrize(
    ("seconds", "limits"),
    [(10, []), (2, ["--max-clients-per-user", "8"]), (2, ["--max-accepts", "20"])], ids=str)
def test_flood_from_another_user(scene, uid, seconds, limits):
    """Others still get in, and soon, also where the rate is limited: the users take turns."""
    scene = scene(more=limits)
    scene.server.expected += ["max_accepts_per_s", "max_clients_per_uid", "IDs are used up"]
    attacker = scene.actor(flood, uid=uid)
    until = time.monotonic() + seconds
    n = 0
    while time.monotonic() < until:
        scene.newcomer()
        scene.pair.check()
        n += 1
    attacker.say("end")
    assert attacker.result() > 100
    assert n > 3


def hold(channel, path, n):
    """Connects and stays, until it is told to end; gives how many connections the server closed."""
    socks = []
    for _ in range(n):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(path)
        socks.append(sock)
    channel.send(n)
    channel.receive()
    closed = 0
    for sock in socks:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while data := sock.recv(65536):
                assert data
            closed += 1
        sock.close()
    return closed


SHOWN = 20  # lines of one cause in the log, in ten seconds


def test_one_users_clients_are_limited_and_others_are_not(scene, uid):
    scene = scene(more=["--max-clients-per-user", "10"])
    scene.server.expected.append("max_clients_per_uid 10")
    attacker = scene.actor(hold, 60, uid=uid)
    attacker.hear()
    scene.newcomer()
    scene.pair.check()
    eventually(lambda: scene.server.errors().count(f"uid {uid}") == SHOWN)
    attacker.say("end")
    assert attacker.result() == 50
    assert scene.server.errors().count(f"uid {uid}") == SHOWN


# Descriptors

def fate(scene, peer):
    """What has become of a newcomer: whoever comes in last has his memory before the line is written."""
    full = "RLIMIT_NOFILE" in scene.server.errors()
    peer.drain()
    return "in" if peer.memory >= 0 else "waits" if full else None


def test_exhausted_descriptors(scene, uid):
    """The limit on clients holds before the descriptors are out, for the pair nothing changes, and
    whoever waits gets in when others leave."""
    scene = scene(user=uid, nofile=64)
    scene.server.expected.append("RLIMIT_NOFILE")
    attackers = []
    waits = scene.connect()
    while eventually(lambda: fate(scene, waits), what="memory, or the limit's line") == "in":
        attackers.append(waits)
        assert len(attackers) < 64
        waits = scene.connect()
    scene.pair.check()
    assert not waits.closed(timeout=0.2) and not waits.history
    for peer in attackers:
        peer.close()
    waits.setup()
    waits.close()
    scene.pair.check()


def leave_unread(channel, path, n):
    """Connects, breaks the protocol once it has been sent something, and keeps its end unread."""
    socks = []
    for _ in range(n):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(path)
        if sock.recv(8, socket.MSG_PEEK):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.send(b"x")
        socks.append(sock)
    channel.send(n)
    channel.receive()
    return len(socks)


def test_descriptors_left_unread_by_those_who_were_disconnected(scene, uid):
    """They are charged to the server's user until the attacker closes his end. So long they count as
    clients of his, and the limit holds; newcomers get in."""
    scene = scene(user=uid, nofile=256, more=["--max-clients-per-user", "16"])
    scene.server.expected.append("max_clients_per_uid 16")
    attacker = scene.actor(leave_unread, 300, uid=uid + 1)
    attacker.hear(60)
    assert f"uid {uid + 1}" in scene.server.errors()
    scene.newcomer()
    scene.pair.check()
    attacker.say("end")
    attacker.result()
    scene.actor(leave_unread, 1, uid=uid + 1).hear()  # he may come again
