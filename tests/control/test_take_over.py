# SPDX-License-Identifier: MIT
"""A new process takes over from a running one, and no client notices; or it fails, and the running
one goes on."""

import array
import json
import os
import re
import signal
import subprocess
import threading

import pytest
from between import Between
from built import built
from control import CommandError, Control
from peer import Peer, fds_unread, settle
from serve import children, eventually, is_sanitized, server_program, standby
from successor import Successor, arguments, refused, take_over

N_VECTORS = 2
N_USED_UP = 1100  # IDs: more than a block of them
N_EVENTS = 300  # clients, of whose coming and going more is told than fits into a socket
KEEPER = [[], ["--no-keeper"]]


@pytest.fixture(name="old", params=KEEPER, ids=["keeper", "alone"])
def fixture_old(controlled, request):
    return controlled("--memfd", *request.param, n_vectors=N_VECTORS)


@pytest.mark.parametrize("keeper", KEEPER, ids=["keeper", "alone"])
def test_clients_that_do_not_read_hold_all_they_can(controlled, place, stack, unprivileged, keeper):
    """The kernel lets no more be on their way, but for what a take-over needs."""
    user = ["--user", f"{unprivileged}:{unprivileged}"] if os.geteuid() == 0 else []
    server = controlled("--memfd", *user, *keeper, n_vectors=1, nofile=600)
    peer = place.peer(1, server.socket)
    stallers = [stack.enter_context(Peer(server.socket, 1, keep=False)) for _ in range(150)]
    eventually(lambda: fds_unread(stallers) > 550, what="as many unread as there can be")
    take_over(server, stack)
    for each in stallers:
        each.setup()
    settle([peer, *stallers])


def test_clients_see_nothing(old, place, stack):
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    settle(peers)
    before = [len(peer.history) for peer in peers]
    take_over(old, stack)
    newcomer = place.peer(N_VECTORS, old.socket)
    settle([*peers, newcomer])
    assert [len(peer.history) - n for peer, n in zip(peers, before)] == [N_VECTORS] * 3
    newcomer.ring(peers[0].id, 1)
    assert peers[0].wait(1)
    peers[0].close()
    newcomer.until_gone(0)


def test_again_and_again_with_crashes_between(old, place, stack):
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(5)]
    for number in range(4):
        process = take_over(old, stack)
        old.process = process
        if number % 2 and children(process.pid):
            os.kill(children(process.pid)[0], signal.SIGKILL)
        peers.append(place.peer(N_VECTORS, old.socket))
        settle(peers)
    old.process = None


STEPS = {
    "command": lambda successor: None,
    "ready": lambda successor: successor.say(b"R"),
    "some": lambda successor: successor.say(b"R").receive(most=1),
    "all": lambda successor: successor.say(b"R").receive(),
    "nonsense": lambda successor: (successor.say(b"R").receive(), successor.say(b"X")),
    "go": lambda successor: (successor.say(b"R").receive(), successor.say(b"P"),
                             successor.socket.recv(1)),
}


@pytest.mark.parametrize("step", STEPS)
def test_successor_that_dies_changes_nothing(old, place, stack, step):
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    settle(peers)
    successor = Successor(old.control)
    received = STEPS[step](successor)
    waiting = stack.enter_context(Peer(old.socket, N_VECTORS))
    successor.close()
    if isinstance(received, dict):
        for fd in received.values():
            os.close(fd)
    settle([*peers, waiting.setup()])
    eventually(lambda: "take-over failed" in old.errors(), what="the reason in the log")
    old.expected = ["the take-over failed when .*; this server goes on"]
    assert Control(old.control).__enter__().negotiate().ask("query-status")["running"]


def test_worker_that_dies_after_it_let_go(controlled, place, stack):
    """The successor may serve then: the next worker waits, too, until it knows."""
    old = controlled("--memfd", n_vectors=N_VECTORS)
    peer = place.peer(N_VECTORS, old.socket)
    successor = Successor(old.control)
    fds = successor.say(b"R").receive()
    successor.say(b"P")
    assert successor.socket.recv(1) == b"G"
    worker, = children(old.process.pid)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: (now := children(old.process.pid)) and now != [worker], what="a next worker")
    waiting = stack.enter_context(Peer(old.socket, N_VECTORS))
    with pytest.raises(TimeoutError):
        waiting.setup(timeout=0.3)
    successor.close()
    for fd in fds.values():
        os.close(fd)
    settle([peer, waiting.setup()])
    old.expected = ["the take-over failed", "worker was killed"]


@pytest.mark.parametrize("after", ["parcel", "prepared", "serving"])
def test_worker_that_dies_and_the_successor_serves(controlled, place, after):
    """The next one must not: it hears what the last one has heard, or was to hear."""
    old = controlled("--memfd", n_vectors=N_VECTORS)
    old.expected = ["another process has taken over", "worker was killed"]
    place.peer(N_VECTORS, old.socket)
    successor = Successor(old.control)
    fds = successor.say(b"R").receive()
    manifest = fds[successor.answer["manifest"]]
    eventually(lambda: "successor-fd" in json.loads(os.pread(manifest, *struct_of(manifest))), what="it written down")
    for byte in [b"", b"P", b"S"][:["parcel", "prepared", "serving"].index(after) + 1]:
        successor.say(byte)
    os.kill(children(old.process.pid)[0], signal.SIGKILL)
    if after != "serving":
        successor.say({"parcel": b"P", "prepared": b""}[after])
        assert successor.socket.recv(1) == b"G"
        successor.say(b"S")
    for fd in fds.values():
        os.close(fd)
    successor.close()
    assert old.process.wait(timeout=20) == 0, old.log()
    assert "this server goes on" not in old.errors()
    old.process = None


def test_answer_that_has_to_wait_for_events_to_be_read(old, place):
    """The predecessor serves on until it is out."""
    with Control(old.control) as control:
        control.negotiate()
        for _ in range(N_EVENTS):
            with Peer(old.socket, N_VECTORS) as guest:
                guest.setup()
        peers = [place.peer(N_VECTORS, old.socket)]
        control.send({"execute": "take-over"})
        peers.append(place.peer(N_VECTORS, old.socket))
        settle(peers)
        assert "manifest" in control.answer()["return"]
        control.send(b"R")
        assert control.socket.recv(1)
    old.expected = ["the take-over failed"]
    settle([*peers, place.peer(N_VECTORS, old.socket)])


def test_parcel_names_all_that_is_needed(old, place):
    peer = place.peer(N_VECTORS, old.socket)
    successor = Successor(old.control)
    fds = successor.say(b"R").receive()
    manifest = fds[successor.answer["manifest"]]
    place_of_text = struct_of(manifest)
    text = json.loads(os.pread(manifest, *place_of_text))
    region, = text["regions"]
    assert region["state-fd"] in fds and text["control"]["fd"] in fds
    n_regular = 1 + 2 + 1 + 2 + 1  # manifest, control and its lock, state, listener and its lock, memory
    assert len(fds) == n_regular + 1 + N_VECTORS
    successor.close()
    for fd in fds.values():
        os.close(fd)
    settle([peer])
    old.expected = ["the take-over failed"]


def struct_of(manifest):
    """Length and place of a manifest's text."""
    words = array.array("Q", os.pread(manifest, 24, 0))
    return words[2] >> 1, ((words[2] & 1) + 1) << 30


def test_refusals(old, place, tmp_path):
    assert "cannot connect" in refused([server_program(), "-F", "--take-over", tmp_path / "none"])
    assert re.search("--control is that of the server to take over",
                     refused(arguments(old, "--control", "/elsewhere")))
    stranger = subprocess.run(
        [server_program(), "-F", "--take-over", old.control], capture_output=True, text=True,
        timeout=20, check=False, user=65534, group=65534, extra_groups=[])
    assert stranger.returncode == 1 and "cannot connect" in stranger.stderr
    settle([place.peer(N_VECTORS, old.socket)])


def test_too_few_descriptors_for_all(old, place):
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(30)]
    line = refused(["prlimit", "--nofile=40:40", *map(str, arguments(old))])
    assert "ulimit -n" in line
    settle(peers)
    old.expected = ["the take-over failed"]


def test_managed_service_is_not_taken_over(controlled, place, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(place.folder / "nobody"))
    old = controlled("--memfd")
    with pytest.raises(CommandError, match="restart the service instead"):
        old.connect().ask("take-over")


def test_predecessor_that_cannot_tell_what_it_serves(old, place, stack):
    """As an earlier version: all is received before the successor gives up what it does not need."""
    def change(data):
        return data.replace(b'"query-manifest"', b'"query-elsewhere"')

    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    between = stack.enter_context(Between(place.folder / "between", old.control, change))
    take_over(old, stack, control=between.path)
    settle([*peers, place.peer(N_VECTORS, old.socket)])


def test_paths_that_come_during_a_take_over(old, place, stack):
    """The successor cannot reach them any more: it leaves it, and all goes on."""
    def change(data):
        if b'"take-over"' in data:
            folder = place.folder / "new"
            folder.mkdir()
            region = control.ask("query-regions")[0]["name"]
            control.ask("listener-add", region=region, name="new", socket=str(folder / "socket"))
        return data

    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    control = old.connect()
    between = stack.enter_context(Between(place.folder / "between", old.control, change))
    assert "meanwhile" in refused(arguments(old, control=between.path))
    old.expected = ["the take-over failed"]
    settle([*peers, place.peer(N_VECTORS, place.folder / "new" / "socket")])


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer's own library must be loaded first")
def test_first_worker_of_a_successor_cannot_go_on(controlled, place, monkeypatch):
    """The predecessor has ended: the next one must."""
    old = controlled("--memfd", n_vectors=N_VECTORS)
    peers = [place.peer(N_VECTORS, old.socket) for _ in range(3)]
    monkeypatch.setenv("LD_PRELOAD", str(built("tests/daemon/no-status.so")))
    monkeypatch.setenv("NO_STATUS", "2")  # that of the first worker
    process = subprocess.Popen(arguments(old), stderr=subprocess.PIPE, text=True)
    assert old.process.wait(timeout=20) == 0, old.log()
    old.process = None
    settle([*peers, place.peer(N_VECTORS, old.socket)])
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and errors.count("cannot list the open descriptors") == 4


def test_first_worker_of_a_successor_has_stood_by(controlled, place, stack):
    """What takes a new process its time is behind it before nobody is served."""
    def change(data):
        if b'"take-over"' in data:
            seen.append(standby(between.client_pid()))
        return data

    seen = []
    old = controlled("--memfd")
    between = stack.enter_context(Between(place.folder / "between", old.control, change))
    process = take_over(old, stack, control=between.path)
    assert seen == children(process.pid)


def test_pidfile_passes_on(place, stack):
    control = place.folder / "control"
    pid = place.daemon("--memfd", "--control", control)
    peer = place.peer()
    done = place.run("--memfd", "--take-over", control, foreground=False)
    assert done.returncode == 0, done.stderr
    eventually(lambda: place.daemon_pid() != pid, what="another process in the pidfile")
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), what="the end of the predecessor")
    settle([peer, place.peer()])
    os.kill(place.daemon_pid(), signal.SIGTERM)
    eventually(lambda: not place.folder.joinpath("pid").exists(), what="no pidfile")


def test_what_the_options_say_otherwise_is_said(old, place, stack):
    """The regions are those of the running server; what its successor would have made of them is a
    line in its log."""
    peer = place.peer(N_VECTORS, old.socket)
    process = take_over(old, stack, "-l", "64M", "-n", "7")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr.readline() for _ in range(2)))
    reader.start()
    reader.join(10)
    assert any("size cannot change while the region is there" in line for line in lines)
    assert any("vectors cannot change while the region is there" in line for line in lines)
    settle([peer])


def precious(path):
    """The memory that is served there; the first look writes what the next ones must find."""
    with Peer(path, N_VECTORS) as peer:
        found = peer.setup().map[:8]
        peer.map[:8] = b"precious"
    return found


def test_options_that_say_nothing_change_nothing(old, stack):
    """The upgrade that everybody writes first. Nobody is connected, so that all could be changed."""
    precious(old.socket)
    before = old.connect().ask("query-listeners")
    old.arguments = ["-F"]
    process = take_over(old, stack)
    assert old.connect().ask("query-listeners") == before
    assert precious(old.socket) == b"precious"
    old.process = None
    stack.callback(lambda: process.stderr.close())


def test_command_line_leaves_regions_of_files_alone(configured, stack):
    """What it says is made beside them, and said."""
    configured.write("web", "[region]\nvectors=2\n[listener a]\nsocket={folder}/a")
    server = configured.start()
    precious(configured.place.folder / "a")
    server.control = configured.control
    server.arguments = ["-F", "-S", str(configured.place.folder / "b"), "--memfd", "--control",
                        str(server.control)]
    process = take_over(server, stack)
    server.process = None
    names = {region["name"] for region in configured.connect().ask("query-regions")}
    assert names == {"web", "ivshmem"}
    assert precious(configured.place.folder / "a") == b"precious"
    assert "region ivshmem: made" in process.stderr.readline()


def test_what_has_moved_is_said(old, place, stack):
    """Options that say something say all of it: what is not said is the default."""
    precious(old.socket)
    moved = place.folder / "moved"
    old.arguments = ["-F", "-n", str(N_VECTORS), "--memfd", "-S", str(moved)]
    process = take_over(old, stack)
    lines = [process.stderr.readline() for _ in range(2)]
    assert any(f"listener {old.socket}: removed" in line or f"listener {moved}: made" in line
               for line in lines), lines
    assert precious(moved) == b"precious"
    old.process = None


LISTENER = "[region]\n[listener a]\nsocket={folder}/a\n"


def test_reserved_id_that_clients_know_in_a_block_that_is_not_counted(configured, place):
    """A new listener's, which the successor's configuration has."""
    configured.write("web", LISTENER)
    server = configured.start()
    stay = [configured.peer("a") for _ in range(2)]
    for _ in range(N_USED_UP):
        with Peer(place.folder / "a", 1) as guest:
            guest.setup()
            for peer in stay:
                peer.until_told(guest.id, 1)
        for peer in stay:
            peer.until_gone(guest.id)
    configured.write("web", LISTENER + "[listener b]\nsocket={folder}/b\nreserved-id=5\n")
    process = subprocess.Popen([server_program(), "-F", f"--config={configured.folder}", "--take-over",
                                configured.control], stderr=subprocess.PIPE, text=True)
    assert server.process.wait(timeout=20) == 0, server.log()
    server.process = None
    listeners = {row["name"] for row in configured.connect().ask("query-listeners")}
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "listener b" in errors and "a connected client has seen it leave" in errors
    assert "a" in listeners and "b" not in listeners
