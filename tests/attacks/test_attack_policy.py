# SPDX-License-Identifier: MIT
"""Who may connect, by the socket's mode and by the lists, from the first instant; and what a refusal
says and costs."""

import errno
import os
import re
import socket

import pytest
from actor import LIBC, Actor
from peer import Peer
from serve import eventually

PR_SET_NAME = 15


def visit(_, path):
    """Gives the ID that it gets, or None if it is turned away."""
    with Peer(path, 1) as peer:
        try:
            return peer.setup().id
        except (ConnectionResetError, BrokenPipeError):
            assert not peer.history, "something was sent before the refusal"
            return None


@pytest.fixture(name="listed")
def fixture_listed(serve, uid):
    """A server with lists, for all who are allowed by them; it has one client, who is root."""

    def start(*options):
        server = serve(umask=0, more=["--allow-user", "0", *map(str, options)])
        server.expected.append("client refused")
        server.folder.chmod(0o755)
        return server

    start.uid = uid
    return start


@pytest.mark.parametrize(
    ("options", "groups", "admitted"),
    [
        ([], [], False),
        (["--allow-user", 0], [], True),
        (["--allow-user", 1], [], False),
        (["--allow-group", 0], [], True),
        (["--allow-group", 1], [], False),
        (["--allow-group", 7], [5, 7, 9], True),
        (["--allow-group", 8], [5, 7, 9], False),
        (["--allow-group", 7], list(range(1000, 2000)) + [300000 + 7], True),
        (["--read-only-user", 0], [], True),
        (["--read-only-user", 1], [], False),
    ], ids=str,
)
def test_lists(listed, connect, options, groups, admitted):
    """Numbers count from the visitor's own, which is also his group."""
    base = listed.uid if not groups else 300000
    more = [base + word if isinstance(word, int) else word for word in options]
    groups = [group if group >= 1000 else 300000 + group for group in groups]
    server = listed(*more)
    stays = connect(server).setup()
    with Actor(visit, str(server.socket), uid=listed.uid, groups=groups) as actor:
        pid = actor.pid
        assert actor.result() == (1 if admitted else None)
    if admitted:
        stays.until_gone(1)
        assert not server.errors()
        return
    line = eventually(server.errors)
    assert re.fullmatch(
        rf"ivshmem-server: client refused \([^(),]+, pid {pid}, uid {listed.uid}, gid {listed.uid}\): "
        r"it is not among those who may connect.*\n", line)
    # No ID is spent on him, and nobody hears of him.
    assert connect(server).setup().id == 1
    assert 1 not in stays.gone


def test_name_of_a_refused_command_cannot_write_the_log(listed):
    server = listed()

    def disguise(_, path):
        assert LIBC.prctl(PR_SET_NAME, b"a\n\x1b[31m(b), p", 0, 0, 0) == 0
        return visit(_, path)

    with Actor(disguise, str(server.socket), uid=listed.uid) as actor:
        assert actor.result() is None
    line = eventually(server.errors)
    assert line.count("\n") == 1 and line.isascii() and "\x1b" not in line
    assert f"uid {listed.uid}" in line


def test_many_refusals_cost_nothing(listed, connect):
    server = listed()
    before = server.n_fds()
    for _ in range(5):
        with Actor(visit_often, str(server.socket), uid=listed.uid) as actor:
            assert actor.result() == 0
    assert server.n_fds() == before
    assert connect(server).setup().id == 0


def visit_often(_, path):
    return sum(visit(_, path) is not None for _ in range(50))


# The socket's rights

def knock(channel, path):
    """Tries to connect all the time, until it is told to end; gives the outcomes and their numbers."""
    outcomes = {}
    while not channel.asked(0):
        with socket.socket(socket.AF_UNIX) as sock:
            outcome = sock.connect_ex(path)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


@pytest.mark.parametrize(
    ("options", "enters"),
    [
        (["--mode", "600"], False),
        (["--mode", "600", "--owner", "1"], False),
        (["--group", "1"], False),
        (["--mode", "666"], True),
        (["--mode", "600", "--owner", "0"], True),
        (["--group", "0"], True),
    ], ids=str,
)
def test_rights_hold_from_the_first_instant(place, uid, options, enters):
    """A stranger knocks all the time while the server starts and ends again and again. To find
    nobody who listens would already mean that he may connect."""
    options = [str(uid + int(word)) if option in ("--owner", "--group") else word
               for option, word in zip(["", *options], options)]
    place.folder.chmod(0o755)
    with Actor(knock, str(place.socket), uid=uid) as actor:
        for _ in range(50):
            server = place.server(*options, umask=0, is_busy=True)
            assert server.stop() == 0
        actor.say("end")
        outcomes = actor.result()
    allowed = {errno.ENOENT, errno.EACCES}
    assert errno.ENOENT in outcomes
    assert (set(outcomes) <= allowed) != enters, outcomes


def test_modes_and_owners(place, uid):
    for options, mode, owner, group in [
            (["--mode", "640"], 0o640, 0, 0),
            (["--group", uid], 0o660, 0, uid),
            (["--owner", uid, "--mode", "700"], 0o700, uid, 0),
            (["--owner", uid, "--group", uid, "--mode", "0"], 0, uid, uid)]:
        server = place.server(*options, umask=0o022)
        found = place.socket.stat()
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, owner, group)
        assert server.stop() == 0


def test_a_group_that_is_not_ours_to_give(place, uid):
    """Without the privilege, it is refused and nothing is left."""
    place.folder.chmod(0o777)
    done = place.run("--group", "0", user=uid, group=uid, extra_groups=[], umask=0)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert str(place.socket) in done.stderr and os.strerror(errno.EPERM) in done.stderr
    assert not place.socket.exists() and not place.object().exists()
