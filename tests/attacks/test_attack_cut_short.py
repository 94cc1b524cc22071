# SPDX-License-Identifier: MIT
"""Every file that the server reads, and every message, cut short at each byte. (What a client sends is in
test_attack_connections.py; a state, a manifest and a parcel by themselves are in src/*/test-*.c.)"""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest
from configured import Configured
from control import Control
from pair import Pair
from peer import Peer
from place import end, forget_locks
from predecessor import Predecessor, answers, manifest_of, parcel_of
from serve import server_program

NOBODY = 4194303  # more than the kernel gives to a process, by default
CONFIG = """[region]
size = 64K  ; of web
vectors = 2
[listener one]
socket = {folder}/one
mode = 0600
allow-user = root 12345
[listener two]
socket = {folder}/two
vectors = 1
"""


@pytest.mark.parametrize("what", ["pidfile", "lock"])
def test_what_a_dead_server_left(place, what):
    """Its contents do not matter, nor where they end."""
    path = place.pidfile if what == "pidfile" else place.folder / "socket.lock"
    whole = b"%d\n" % NOBODY
    for data in [*(whole[:cut] for cut in range(len(whole) + 1)), bytes(100000), b"x" * 100000]:
        path.write_bytes(data)
        path.chmod(0o600)
        pid = place.daemon("--memfd")
        assert place.pidfile.read_bytes() == b"%d\n" % pid
        with Peer(place.socket, 1) as peer:
            peer.setup()
        assert end(pid, signal.SIGTERM) == 0
        assert not place.pidfile.exists()


@pytest.fixture(name="web")
def fixture_web(place, stack):
    """A configuration of a pair's region and another one."""
    configured = Configured(place, stack)
    configured.write("web", CONFIG)
    return configured.write("pair", "[region]\nsize=64K\n[listener pair]\nsocket={folder}/pair")


def test_configuration(web):
    """It is read, or refused in lines that name the file. Cut short, a path may be one that this machine
    has for something else: that is another status."""
    path = web.folder / "web.conf"
    whole = path.read_bytes()
    accepted = set()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        done = web.check("--check-config")
        lines = done.stderr.splitlines()
        assert done.returncode in ((1, 2) if lines else (0,))
        assert all(line.startswith("ivshmem-server: ") and str(path) in line for line in lines), lines
        if not lines:
            accepted.add(cut)
    assert len(whole) in accepted and 0 not in accepted


def test_configuration_that_is_read_again(web, stack):
    """Whatever becomes of the region, the pair in another one is not disturbed; and the whole file makes it
    what it was. (A server that is not confined listens at paths that are cut short, too.)"""
    path = str(web.place.folder)
    forget_locks(stack, [path[:cut] for cut in range(1, len(path) + 1)])
    server = web.start()
    server.socket, server.n_vectors = web.place.folder / "pair", 1
    control = web.connect()
    before = control.ask("query-listeners", region="web")
    pair = stack.enter_context(Pair(server))
    path = web.folder / "web.conf"
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        control.send({"execute": "reload"})
        assert {"return", "error"} & set(control.answer())
    pair.check()
    after = control.ask("query-listeners", region="web")
    assert [(listener["name"], listener["path"]) for listener in after] == \
        [(listener["name"], listener["path"]) for listener in before]
    web.peer("two")


COMMANDS = [
    {"execute": "qmp_capabilities", "arguments": {"enable": []}, "id": [1, None, "\u00e9"]},
    {"execute": "query-clients", "arguments": {"region": "ivshmem", "first": 0}, "id": -1.5e3},
    {"execute": "listener-add", "arguments": {"region": "ivshmem", "name": "l", "socket": "/x/l"}},
    {"execute": "take-over"},
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command["execute"])
def test_command(scene, command):
    """Nothing is done for half a command; a newline ends it, as it ends a whole one."""
    scene = scene(controlled=True)
    data = json.dumps(command, ensure_ascii=False).encode()
    for ending in [b"", b"\n"]:
        for cut in range(len(data)):
            with Control(scene.server.control).negotiate() as control:
                control.send(data[:cut] + ending)
                control.socket.shutdown(socket.SHUT_WR)
                answer = control.receive()
                assert answer is None or "error" in answer
                assert answer is None or control.receive() is None
    scene.pair.check()
    with Control(scene.server.control).negotiate() as control:
        assert control.ask("query-status")["control-connections"] == 1


def successor_of(path):
    """A process that is to take over from whoever listens there."""
    return subprocess.Popen([server_program(), "-F", "--take-over", path], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refused(path, predecessor, said, parcel=b"", fds=()):
    """It does not take over, and says so in one line."""
    server = threading.Thread(target=predecessor.serve, args=(said, parcel, fds))
    server.start()
    out, errors = successor_of(path).communicate(timeout=20)
    server.join()
    assert not out and errors.count("\n") == 1 and errors.startswith("ivshmem-server: "), errors
    return errors


TEXT = {"version": "1", "regions": [{"name": "web", "state-fd": 7}]}
TEXTS = pytest.mark.parametrize("text", [None, TEXT], ids=["earlier version", "this version"])


@TEXTS
def test_answers_to_a_successor(tmp_path, text):
    path = tmp_path / "control"
    said = answers(5, text)
    with Predecessor(path) as predecessor:
        for cut in range(len(said) + 1):
            refused(path, predecessor, said[:cut])


@TEXTS
def test_parcel_for_a_successor(tmp_path, text):
    """That it is refused for being cut, and not for what is in it, shows the whole one: its manifest is
    read, and names a state that has not come."""
    path = tmp_path / "control"
    manifest = manifest_of(TEXT)
    fds, numbers = [manifest, 0, 1], [5, 6, 8]
    parcel = parcel_of(numbers)
    try:
        with Predecessor(path) as predecessor:
            for cut in range(1, len(parcel)):
                assert "not all descriptors have come" in \
                    refused(path, predecessor, answers(5, text), parcel[:cut], fds)
            assert "the state of region web cannot be used" in \
                refused(path, predecessor, answers(5, text), parcel, fds)
    finally:
        os.close(manifest)
