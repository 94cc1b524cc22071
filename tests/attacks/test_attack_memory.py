# SPDX-License-Identifier: MIT
"""A client that does to the memory what it can. Its contents are the peers' own affair."""

import ctypes
import errno
import fcntl
import mmap
import os
import stat

import pytest
from actor import Actor
from control import Control
from peer import Peer

MEMFD = ["--memfd"]
F_ADD_SEALS = 1033
SEALS = {"seal": 1, "shrink": 2, "grow": 4, "write": 8, "future write": 16}
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
SIZE = 4 << 20
LIBC = ctypes.CDLL(None, use_errno=True)


def fallocate(fd, mode, offset, length):
    if LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")


@pytest.mark.parametrize("size", [0, 1, 4096, SIZE - 1, SIZE + 1, 2 * SIZE, 1 << 40])
def test_truncate_and_grow(scene, size):
    scene = scene(more=MEMFD)
    attacker = scene.connect().setup()
    with pytest.raises(PermissionError):
        os.ftruncate(attacker.memory, size)
    with pytest.raises(PermissionError):
        os.truncate(f"/proc/self/fd/{attacker.memory}", size)
    assert os.fstat(attacker.memory).st_size == SIZE


def test_grow_by_writing_and_allocating(scene):
    scene = scene(more=MEMFD)
    attacker = scene.connect().setup()
    with pytest.raises(PermissionError):
        os.pwrite(attacker.memory, b"x", SIZE)
    with pytest.raises(PermissionError):
        fallocate(attacker.memory, 0, SIZE, 4096)
    assert os.fstat(attacker.memory).st_size == SIZE


def test_punch(scene):
    """Holes are contents: zeros, for which there is memory again at the next access."""
    scene = scene(more=MEMFD)
    attacker = scene.connect().setup()
    for _ in range(20):
        fallocate(attacker.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE)
        scene.pair.check()
    assert os.fstat(attacker.memory).st_size == SIZE


@pytest.mark.parametrize("seal", SEALS)
def test_seal(scene, seal):
    """A write seal would make the memory useless for who comes later."""
    scene = scene(more=MEMFD)
    attacker = scene.connect().setup()
    with pytest.raises(PermissionError):
        fcntl.fcntl(attacker.memory, F_ADD_SEALS, SEALS[seal])


def test_mode_and_owner(scene, uid):
    """Who is not its owner cannot open it to the world."""
    scene = scene(more=MEMFD)

    def attack(_, path):
        with Peer(path, 1) as peer:
            peer.setup()
            for change in [lambda: os.fchmod(peer.memory, 0o777),
                           lambda: os.fchown(peer.memory, uid, uid)]:
                with pytest.raises(PermissionError):
                    change()
            return stat.S_IMODE(os.fstat(peer.memory).st_mode)

    assert scene.actor(attack, uid=uid).result() == 0o600


@pytest.mark.parametrize("memory", [MEMFD, ["-m", "/tmp"], []], ids=["memfd", "directory", "object"])
def test_flags_and_offset_are_each_clients_own(scene, memory):
    scene = scene(more=memory)
    attacker, other = scene.connect().setup(), scene.connect().setup()
    flags = fcntl.fcntl(other.memory, fcntl.F_GETFL)
    os.lseek(attacker.memory, 1000, os.SEEK_SET)
    fcntl.fcntl(attacker.memory, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)
    fcntl.flock(attacker.memory, fcntl.LOCK_EX)
    for peer in [other, scene.connect().setup()]:
        assert os.lseek(peer.memory, 0, os.SEEK_CUR) == 0
        assert fcntl.fcntl(peer.memory, fcntl.F_GETFL) == flags


@pytest.mark.parametrize("memory", [MEMFD, ["-m", "/tmp"], []], ids=["memfd", "directory", "object"])
def test_read_only_grant(scene, uid, memory):
    """It cannot be written, nor be opened again for it."""
    scene = scene(more=[*memory, "--read-only-user", str(uid), "--allow-user", "0"])
    cannot_write(scene, uid, str(scene.server.socket))


def test_read_only_listener(scene, uid):
    """The same for all who come in on it, and for nobody else."""
    scene = scene(controlled=True, more=MEMFD)
    path = str(scene.server.folder / "reading")
    with Control(scene.server.control).negotiate() as control:
        control.ask("listener-add", region="ivshmem", name="reading", socket=path, mode="666", read_only=True)
    cannot_write(scene, uid, path)
    with Actor(lambda _, path: Peer(path, 1).setup().map.write(b"x"), str(scene.server.socket), uid=uid) as other:
        assert other.result() == 1
    with Control(scene.server.control).negotiate() as control:
        control.ask("listener-remove", region="ivshmem", name="reading", force=True)


def cannot_write(scene, uid, path):
    """A client of this user, who has come in at this path, beside the pair."""

    def attack(_):
        tried = {}
        with Peer(path, 1) as peer:
            peer.setup()
            itself = f"/proc/self/fd/{peer.memory}"
            ways = {
                "write": lambda: os.write(peer.memory, b"x"),
                "map": lambda: mmap.mmap(peer.memory, SIZE),
                "truncate": lambda: os.ftruncate(peer.memory, 0),
                "open again": lambda: os.open(itself, os.O_RDWR),
                "open again for writing": lambda: os.open(itself, os.O_WRONLY),
                "truncate by name": lambda: os.truncate(itself, 0),
            }
            for name, way in ways.items():
                try:
                    way()
                    tried[name] = 0
                except OSError as error:
                    tried[name] = error.errno
            # Reading and ringing it may.
            with mmap.mmap(peer.memory, SIZE, prot=mmap.PROT_READ) as readable:
                assert len(readable[:]) == SIZE
            peer.ring(0, 0)
        return tried

    with Actor(attack, uid=uid) as attacker:
        tried = attacker.result()
    scene.pair.check()
    assert tried.pop("truncate") in (errno.EINVAL, errno.EPERM)
    assert tried.pop("write") == errno.EBADF
    assert set(tried.values()) == {errno.EACCES}, tried
