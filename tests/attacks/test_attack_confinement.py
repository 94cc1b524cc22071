# SPDX-License-Identifier: MIT
"""What a server has left once it serves: its user, its privileges, its descriptors, its calls."""

import os
import pathlib
import re
import socket

import pytest
from actor import Actor
from serve import children, eventually, is_sanitized, standby, state

# Unless it is asked to, a sanitized server does not confine itself: the sanitizers make calls of their own.
SECCOMP = "0" if is_sanitized() else "2"
NO_CAPABILITIES = "0000000000000000"


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return dict(line.split(":\t", 1) for line in text.splitlines())


def assert_confined(pid, uid, groups, seccomp=SECCOMP):
    """All processes of the server: that which it was started as, and its children."""
    waits = [eventually(lambda: standby(pid), what="a process that stands by")] if children(pid) else []
    for each in [pid, *children(pid), *waits]:
        assert_process_confined(each, uid, groups, seccomp)


def assert_process_confined(pid, uid, groups, seccomp):
    status = status_of(pid)
    assert status["Uid"].split() == status["Gid"].split() == [str(uid)] * 4
    assert status["Groups"].split() == groups
    for kind in ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"]:
        assert status[kind] == NO_CAPABILITIES, kind
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == seccomp
    # What is not dumpable belongs to root in /proc, whoever runs it, and cannot be traced.
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


@pytest.mark.parametrize(("words", "seccomp"), [
    (["--memfd"], SECCOMP), ([], SECCOMP), (["--sandbox", "kill"], "2"), (["--sandbox", "log"], "2"),
    (["--sandbox", "none"], "0")], ids=str)
def test_process_that_gives_up_its_user(place, uid, words, seccomp):
    pid = place.daemon("--user", f"{uid}:{uid}", *words)
    eventually(lambda: children(pid), what="its worker")
    assert_confined(pid, uid, [], seccomp)
    assert place.socket.stat().st_uid == uid
    place.peer()


def test_process_that_stays_who_it_is(place):
    """It gives up what makes root more than others, even so."""
    pid = place.daemon()
    assert_confined(pid, os.getuid(), [str(group) for group in os.getgroups()])
    place.peer()


def test_process_that_never_had_privileges(place, uid):
    place.folder.chmod(0o777)
    pid = place.daemon(user=uid, group=uid, extra_groups=[])
    status = status_of(pid)
    assert status["CapEff"] == status["CapPrm"] == NO_CAPABILITIES
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == SECCOMP
    place.peer()


EXPECTED = {
    r"/dev/null": range(4, 5),  # the reserve, and a daemon's standard ones
    r"socket:\[\d+\]": range(1, 2),
    r"anon_inode:\[eventpoll\]": range(1, 3),  # the loop, and the server in it
    r"anon_inode:\[timerfd\]": range(1, 2),
    r"anon_inode:\[eventfd\]": range(1, 2),
    r"anon_inode:\[signalfd\]": range(1, 2),
    r"anon_inode:\[pidfd\]|pidfd:\[\d+\]": range(1, 2),  # the keeper, for the worker
    r".*/socket\.lock": range(1, 2),
    r".*/pid": range(1, 2),
    r"/memfd:ivshmem \(deleted\)": range(1, 2),
    r"/memfd:ivshmem-state \(deleted\)": range(1, 2),
    r"/memfd:ivshmem-manifest \(deleted\)": range(1, 2),
}


def serving(pid):
    """The descriptors of a daemon, once its worker has all that it keeps open, and is idle."""
    eventually(lambda: children(pid) and state(children(pid)[0]) == "S", what="an idle worker")
    names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return names if children(pid) and any("pidfd" in name for name in names) else None


def test_only_the_descriptors_that_it_needs(place):
    """Those that its launcher forgot to close are closed, so that nobody waits for their end."""
    mine, theirs = socket.socketpair()
    kept = os.dup2(theirs.fileno(), 700)
    pid = place.daemon("--memfd", pass_fds=[theirs.fileno(), kept])
    theirs.close()
    os.close(kept)
    mine.setblocking(False)
    assert mine.recv(1) == b"", "the server holds what it inherited"
    mine.close()
    names = eventually(lambda: serving(pid), what="a worker that serves")
    for pattern, number in EXPECTED.items():
        found = [name for name in names if re.fullmatch(pattern, name)]
        assert len(found) in number, f"{pattern} in {names}"
        names = [name for name in names if name not in found]
    assert not names


def pry(_, pid):
    """Gives what could be read of a process."""
    read = []
    for name in ["mem", "environ", "fd/0", "maps", "auxv"]:
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                file.read(1)
            read.append(name)
        except PermissionError:
            pass
    return read


def test_process_of_the_same_user_cannot_look_into_it(place, uid):
    place.folder.chmod(0o755)
    pid = place.daemon("--user", f"{uid}:{uid}")
    with Actor(pry, pid, uid=uid) as actor:
        assert actor.result() == []
