# SPDX-License-Identifier: MIT
"""Names that somebody else has taken first, or takes while the server runs: what could be his is
refused with the reason and left as it is, never used and never removed."""

import fcntl
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess

import pytest
from actor import Actor
from place import end
from predecessor import Predecessor, answers, manifest_of, parcel_of
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
    elif how == "group":
        os.chown(path, -1, uid)
        path.chmod(0o660)


WHY = {"owner": "belongs to somebody else", "writable": "can be written by everybody",
       "group": "can be written by its group", "second name": "has a second name",
       "link": "it is a symbolic link, which is not used"}


# A socket that everybody, or a group, may connect to can be a dead server's.
SQUATS = [(what, how) for what in ["object", "socket", "lock", "pidfile"] for how in WHY
          if what != "socket" or how not in ("writable", "group")]


@pytest.mark.parametrize(("what", "how"), SQUATS)
def test_squatted(place, uid, what, how):
    path = path_of(place, what)
    squat(path, what, how, uid)
    before = {name: (name.lstat(), name.read_bytes() if name.is_file() else None)
              for name in [*path.parent.glob(f"{path.name}*")]}
    done = place.run(foreground=what != "pidfile")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    why = "is not a socket" if (what, how) == ("socket", "link") else WHY[how]
    assert path.name in done.stderr and why in done.stderr
    after = {name: (name.lstat(), name.read_bytes() if name.is_file() else None) for name in before}
    # Looking at it changes the time of that.
    assert {n: (s[:7], s.st_mtime_ns, b) for n, (s, b) in after.items()} == {
        n: (s[:7], s.st_mtime_ns, b) for n, (s, b) in before.items()}


@pytest.mark.parametrize("asked", [True, False])
def test_object_that_a_group_can_write(place, uid, asked):
    """Those whom the socket lets in get the memory anyway; any other group's members do not."""
    path = place.object()
    squat(path, "object", "group", uid)
    if asked:
        server = place.server("--group", uid)
        place.peer()
        assert server.stop() == 0
    else:
        done = place.run("--group", uid + 1)
        assert done.returncode == 1 and WHY["group"] in done.stderr and path.name in done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


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


F_OFD_SETLK = 37


def read_lock(channel, path):
    """Holds a lock for reading on whatever is there, until it is told to end."""
    with open(path, "rb") as file:
        fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
        channel.send("locked")
        return channel.receive()


def test_pidfile_that_is_locked_for_reading(place, uid):
    """A dead daemon's keeps no other from starting; a living one's still does."""
    place.folder.chmod(0o755)
    make(place.pidfile, "pidfile")
    place.pidfile.chmod(0o644)
    with Actor(read_lock, str(place.pidfile), uid=uid) as actor:
        actor.hear()
        pid = place.daemon()
        place.peer()
        done = place.run("--memfd", "-S", place.folder / "other", foreground=False)
        assert done.returncode == 1 and "a running daemon holds it" in done.stderr
        actor.say("end")
        actor.result()
    assert place.pidfile.read_text(encoding="ascii") == f"{pid}\n"
    assert end(pid, signal.SIGTERM) == 0
    assert not place.pidfile.exists()


def pretend(channel, path, victim):
    """Hands a manifest over to whoever wants to take over, by which the victim is the pidfile; gives what
    it was asked for."""
    manifest = manifest_of({"version": "1", "regions": [], "pidfile": {"path": victim, "fd": 6}})
    null = os.open("/dev/null", os.O_RDWR)
    with Predecessor(path) as predecessor:
        os.chmod(path, 0o777)
        channel.send("listening")
        return predecessor.serve(answers(5), parcel_of([5, 6]), [manifest, null])


@pytest.mark.parametrize("user", [[], ["--user", "12345:12345"]], ids=["root", "another user"])
def test_take_over_from_somebody_elses_server(place, uid, user):
    """A server that goes on with what a stranger hands over would remove files for him."""
    place.folder.chmod(0o777)
    control, victim = place.folder / "control", place.folder / "victim"
    victim.write_text("kept\n", encoding="ascii")
    with Actor(pretend, str(control), str(victim), uid=uid) as actor:
        actor.hear()
        done = subprocess.run([place.program, "-F", "--take-over", control, *user], text=True,
                              capture_output=True, timeout=20, check=False)
        assert (done.returncode, done.stderr) == (
            1, f"ivshmem-server: cannot take over: the server at {control} is of user {uid}, who is "
            "neither root nor whom this one is to run as (--user)\n")
        assert actor.result() == ["qmp_capabilities"]
    assert victim.read_text(encoding="ascii") == "kept\n"


# bind(2), after which whoever may rename files in the folder was faster than the server.
SWAP = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int bind(int fd, const struct sockaddr *to, socklen_t n)
{
    const char *path = ((const struct sockaddr_un *)to)->sun_path;
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    char moved[200], other[200];
    int r = real(fd, to, n);
    snprintf(moved, sizeof(moved), "%s-moved", path);
    snprintf(other, sizeof(other), "%s-other", path);
    return r < 0 || rename(path, moved) < 0 || rename(other, path) < 0 ? -1 : 0;
}
"""


@pytest.fixture(name="swapping")
def fixture_swapping(tmp_path):
    """The environment of a program for which bind(2) ends like that."""
    source, library = tmp_path / "swap.c", tmp_path / "swap.so"
    source.write_text(SWAP, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return {**os.environ, "LD_PRELOAD": str(library)}


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer wants to be the first library")
@pytest.mark.parametrize("by", ["file", "link", "folder", "second name"])
def test_socket_that_is_swapped_before_it_has_its_mode(place, swapping, by):
    """What is there instead gets no mode and no owner, and stays."""
    other, victim = place.folder / "socket-other", place.folder / "victim"
    make(victim, "file")
    if by == "folder":
        other.mkdir(0o700)
    elif by == "link":
        other.symlink_to(victim)
    elif by == "second name":
        make(other, "socket")
        os.link(other, place.folder / "again")
    else:
        victim.rename(other)
    before = other.lstat()
    done = place.run("--mode", "666", "--owner", "12345", env=swapping)
    assert (done.returncode, done.stderr) == (
        1, f"ivshmem-server: somebody has put something else at {place.socket}, where the socket was "
        "made; it is left alone\n")
    after = place.socket.lstat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert by != "link" or victim.stat().st_uid == os.getuid()


@pytest.mark.parametrize("kind", ["file", "link", "pipe", "nothing"])
def test_object_that_is_replaced(place, kind):
    """Somebody removes it, and another server makes one of the name: that one stays at our end."""
    server = place.server()
    peer, path = place.peer(), place.object()
    path.unlink()
    if kind == "file":
        make(path, "object")
    elif kind == "link":
        path.symlink_to("/dev/null")
    elif kind == "pipe":
        os.mkfifo(path)
    before = path.lstat() if kind != "nothing" else None
    other = place.peer()
    other.map[0] = 7
    assert peer.map[0] == 7
    assert server.stop() == 0
    if before:
        assert path.lstat().st_ino == before.st_ino


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
