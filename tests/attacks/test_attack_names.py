# SPDX-License-Identifier: MIT
"""Names that somebody else has taken first, or takes while the server runs: what could be his is
refused with the reason and left as it is, never used and never removed."""

import os
import pathlib
import signal
import socket
import stat
import subprocess

import pytest
from place import end
from serve import is_sanitized

K64 = 64 << 10


def path_of(place, what):
    return {"object": place.object(), "socket": place.socket, "pidfile": place.pidfile,
            "lock": pathlib.Path(f"{place.socket}.lock")}[what]


def make(path, what):
    """What a server of ours would have left there."""
    if what == "socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    else:
        path.write_bytes(bytes(K64) if what == "object" else b"kept\n")
    path.chmod(0o600)


def squat(path, what, how, uid):
    """Somebody else has been there first."""
    real = path.parent / f"{path.name}-of-somebody"
    make(real if how in ("link", "second name") else path, what)
    if how == "link":
        path.symlink_to(real)
    elif how == "second name":
        os.link(real, path)
    elif how == "owner":
        os.chown(path, uid, uid)
    elif how == "writable":
        path.chmod(0o666)


WHY = {"owner": "belongs to somebody else", "writable": "can be written by everybody",
       "second name": "has a second name", "link": ""}


# A socket that everybody may connect to can be a dead server's.
SQUATS = [(what, how) for what in ["object", "socket", "lock", "pidfile"] for how in WHY
          if (what, how) != ("socket", "writable")]


@pytest.mark.parametrize(("what", "how"), SQUATS)
def test_squatted(place, uid, what, how):
    path = path_of(place, what)
    squat(path, what, how, uid)
    before = {name: (name.lstat(), name.read_bytes() if name.is_file() else None)
              for name in [*path.parent.glob(f"{path.name}*")]}
    done = place.run(foreground=what != "pidfile")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert path.name in done.stderr and WHY[how] in done.stderr
    after = {name: (name.lstat(), name.read_bytes() if name.is_file() else None) for name in before}
    # Looking at it changes the time of that.
    assert {n: (s[:7], s.st_mtime_ns, b) for n, (s, b) in after.items()} == {
        n: (s[:7], s.st_mtime_ns, b) for n, (s, b) in before.items()}


@pytest.mark.parametrize("what", ["object", "lock", "pidfile"])
def test_no_file(place, what):
    """Nor is anything that is no file; and nobody waits for the other end of a pipe."""
    path = path_of(place, what)
    os.mkfifo(path, 0o600)
    done = place.run(foreground=what != "pidfile")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert path.name in done.stderr and "is not a file: it is not used" in done.stderr
    assert stat.S_ISFIFO(path.lstat().st_mode)


@pytest.mark.parametrize("what", ["object", "socket", "lock", "pidfile"])
def test_what_a_dead_server_left_is_used(place, what):
    """That the tests above refuse for their reason, and not for another."""
    path = path_of(place, what)
    make(path, what)
    pid = place.daemon()
    place.peer()
    assert end(pid, signal.SIGTERM) == 0


@pytest.mark.parametrize("when", ["while it runs", "at its end"])
@pytest.mark.parametrize("by", ["link", "file", "folder", "socket"])
def test_socket_that_is_swapped(place, when, by):
    """What is at the path at the end is not what the server has made, and stays."""
    server = place.server()
    peer, victim, moved = place.peer(), place.folder / "victim", place.folder / "moved"
    victim.write_text("kept\n", encoding="ascii")
    place.socket.rename(moved)
    if by == "link":
        place.socket.symlink_to(victim)
    elif by == "folder":
        place.socket.mkdir()
    else:
        make(place.socket, by)
    if when == "while it runs":
        # Whoever knows where it is now still gets in.
        other = place.peer(path=moved)
        other.until_told(peer.id)
        peer.until_told(other.id)
        peer.ring(other.id, 0)
        assert other.wait(0) == 1
    kind = stat.S_IFMT(place.socket.lstat().st_mode)
    assert server.stop() == 0
    assert stat.S_IFMT(place.socket.lstat().st_mode) == kind
    assert victim.read_text(encoding="ascii") == "kept\n" and moved.exists()


def test_folder_that_is_swapped_for_a_link(place):
    """At the end of the server, its path leads to a stranger's files."""
    inner, elsewhere = place.folder / "inner", place.folder / "elsewhere"
    inner.mkdir()
    elsewhere.mkdir()
    place.socket = inner / "socket"
    server = place.server()
    place.peer()
    make(elsewhere / "socket", "socket")
    inner.rename(place.folder / "moved")
    inner.symlink_to(elsewhere)
    assert server.stop() == 0
    assert (elsewhere / "socket").exists()
