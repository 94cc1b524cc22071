# SPDX-License-Identifier: MIT
"""Whoever talks nonsense to the control socket, too much, or does not listen, disturbs nobody."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys

import pytest
from control import CommandError, Control
from peer import Peer
from serve import TREE, eventually, server_program

MAX_REQUEST = 65536
MAX_CONNECTIONS = 128
KEPT_CONNECTIONS = 8  # of them, for those who may change something
MAX_DROPPED = 10000


@pytest.fixture(name="control")
def fixture_control(controlled):
    return controlled().connect()


NONSENSE = [
    (b"nonsense\n", "Invalid JSON"),
    (b'"execute"\n', "Invalid JSON"),
    (b"}\n", "Invalid JSON"),
    (b"\0\xff\n", "Invalid JSON"),
    (b"{]", "Invalid JSON"),
    (b'{"execute": }', "Invalid JSON"),
    (b'{"execute": "\xff"}', "Invalid JSON"),
    (b'{"execute": "query-status", "execute": "quit"}', "duplicate"),
    (b'{"execute": "query-stats", "arguments": {"region": "a\\u0000b"}}', "Invalid JSON"),
    (b"[]", "a command is an object"),
    (b"{}", "'execute' is missing"),
    (b'{"execute": 1}', "'execute' is missing, or no string"),
    (b'{"execute": "query-status", "arguments": []}', "'arguments' is not an object"),
    (b'{"execute": "query-status", "now": 1}', "only 'execute', 'arguments' and 'id'"),
    (b'{"exec-oob": "query-status"}', "only 'execute', 'arguments' and 'id'"),
    (b'{"execute": "no-such"}', "The command no-such has not been found"),
    (b'{"execute": "qmp_capabilities"}', "already complete"),
    (b"[" * 5000 + b"]" * 5000, "Invalid JSON"),
]


@pytest.mark.parametrize(("data", "why"), NONSENSE, ids=[why for _, why in NONSENSE])
def test_nonsense_is_an_error_and_the_connection_goes_on(control, data, why):
    control.send(data)
    answer = control.answer()
    assert why in answer["error"]["desc"] and answer["error"]["desc"].count("\n") == 0
    assert control.ask("query-status")["running"]


ARGUMENTS = [
    ("query-status", {"region": "x"}, "query-status has no argument 'region'"),
    ("query-stats", {"region": 1}, "argument 'region' is not a string"),
    ("query-stats", {"region": None}, "argument 'region' is not a string"),
    ("query-stats", {"region": "x"}, "there is no region 'x'"),
    ("query-listeners", {"region": "x"}, "there is no region 'x'"),
    ("query-clients", {"region": "x"}, "there is no region 'x'"),
    ("query-clients", {"first": -1}, "argument 'first' is not a number from 0 to"),
    ("query-clients", {"first": "1"}, "argument 'first' is not a number from 0 to"),
    ("query-clients", {"first": 1 << 31}, "argument 'first' is not a number from 0 to"),
    ("client-disconnect", {}, "client-disconnect needs the argument 'region'"),
    ("client-disconnect", {"region": "ivshmem"}, "needs the argument 'id' or 'pid'"),
    ("client-disconnect", {"region": "ivshmem", "id": 65536}, "argument 'id' is not a number"),
    ("client-disconnect", {"region": "ivshmem", "id": 1.5}, "argument 'id' is not a number"),
    ("client-disconnect", {"region": "ivshmem", "id": 7}, "region ivshmem has no client 7"),
    ("client-disconnect", {"region": "ivshmem", "pid": 1}, "region ivshmem has no client of process 1"),
    ("client-disconnect", {"region": "ivshmem", "id": 7, "pid": 1},
     "region ivshmem has no client 7 of process 1"),
]


@pytest.mark.parametrize(("command", "arguments", "why"), ARGUMENTS)
def test_wrong_argument_is_named(control, command, arguments, why):
    with pytest.raises(CommandError, match=why):
        control.ask(command, **arguments)


def test_doubled_argument_is_an_error(control):
    control.send(b'{"execute": "query-stats", "arguments": {"region": "a", "region": "b"}}')
    assert "duplicate" in control.answer()["error"]["desc"]


def test_nothing_is_done_before_the_negotiation(controlled, stack):
    server = controlled()
    control = stack.enter_context(Control(server.control))
    with pytest.raises(CommandError, match="Expecting capabilities negotiation") as error:
        control.ask("quit")
    assert error.value.kind == "CommandNotFound"
    with pytest.raises(CommandError, match="no capability"):
        control.ask("qmp_capabilities", enable=["oob"])
    assert control.ask("qmp_capabilities", enable=[]) == {}
    assert control.ask("query-status")["running"]


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "byte by byte"])
def test_commands_need_nothing_between_them(control, pause):
    data = b"".join(json.dumps({"execute": "query-version", "id": i}).encode() for i in range(20))
    for piece in ([data[i:i + 1] for i in range(len(data))] if pause else [data]):
        control.send(piece)
    assert [control.answer()["id"] for _ in range(20)] == list(range(20))


def command_of(length):
    head, tail = b'{"execute": "query-version", "id": "', b'"}'
    return head + b"x" * (length - len(head) - len(tail)) + tail


def test_longest_command_is_answered(control):
    control.send(command_of(MAX_REQUEST - 1))
    assert "return" in control.answer()


def test_longer_one_ends_the_connection(control):
    control.send(command_of(MAX_REQUEST + 4096)[:MAX_REQUEST])
    assert "65536 bytes" in control.answer()["error"]["desc"]
    assert control.receive() is None


def test_slow_reader_is_not_served_further_and_loses_events_only(controlled, place):
    server = controlled()
    slow, other = server.connect(), server.connect()
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    request = json.dumps({"execute": "query-commands"}).encode()
    n_sent = 0
    slow.socket.setblocking(False)
    try:
        while n_sent < 100000:
            slow.socket.send(request)
            n_sent += 1
    except BlockingIOError:
        pass
    slow.socket.setblocking(True)
    assert n_sent < 100000
    for _ in range(50):
        place.peer().close()
    assert other.ask("query-status")["running"]
    assert server.resident() < 30000 or "asan" in os.environ.get("IVSHMEM_BUILD", "")
    slow.answer()  # it reads again, and gets all answers
    for _ in range(n_sent - 1):
        assert "return" in slow.answer()
    dropped = [event for event in slow.events if event["event"] == "EVENTS_DROPPED"]
    told = [event for event in slow.events if event["event"].startswith("CLIENT_")]
    assert len(told) + sum(event["data"]["count"] for event in dropped) == 100


def test_reader_that_never_reads_is_disconnected(controlled):
    server = controlled()
    deaf, control = server.connect(), server.connect()
    assert control.ask("query-status")["control-connections"] == 2

    def hammer():
        for _ in range(500):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(server.socket))
                peer.recv(8)
        control.events.clear()
        return control.ask("query-status")["control-connections"] == 1

    eventually(hammer, timeout=60, what="the deaf one disconnected")
    assert deaf.receive() is not None


def is_full(server, user):
    """Connects as a user and gives whether there is no room; if there is, the connection, too."""
    control = socket.socket(socket.AF_UNIX)
    os.seteuid(user)
    try:
        control.connect(str(server.control))
    finally:
        os.seteuid(0)
    return b"too many connections" in control.recv(1000), control


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_who_may_only_ask_cannot_keep_root_out(controlled, place, unprivileged):
    server = controlled()
    place.folder.chmod(0o711)
    server.control.chmod(0o666)
    found = [is_full(server, unprivileged) for _ in range(MAX_CONNECTIONS)]
    assert [full for full, _ in found] == [False] * (MAX_CONNECTIONS - KEPT_CONNECTIONS) + [True] * KEPT_CONNECTIONS
    controls = [server.connect() for _ in range(KEPT_CONNECTIONS)]
    assert controls[0].ask("query-status")["control-connections"] == MAX_CONNECTIONS
    found += [is_full(server, 0), is_full(server, unprivileged)]
    assert found[-2][0] and found[-1][0]
    found[0][1].close()
    eventually(lambda: controls[0].ask("query-status")["control-connections"] < MAX_CONNECTIONS, what="a place")
    found.append(is_full(server, unprivileged))
    assert not found[-1][0]
    for _, control in found:
        control.close()


def test_hundred_connections_and_one_too_many(controlled, stack, place):
    server = controlled()
    controls = [server.connect() for _ in range(MAX_CONNECTIONS)]
    with socket.socket(socket.AF_UNIX) as late:
        late.connect(str(server.control))
        assert b"too many connections" in late.recv(1000)
        assert late.recv(1000) == b""
    peer = place.peer()
    assert all(control.event("CLIENT_CONNECTED")["id"] == peer.id for control in controls)
    for control in controls:
        control.socket.close()
    eventually(lambda: server.n_fds() < 40, what="the connections closed")
    assert stack.enter_context(Control(server.control)).negotiate().ask("query-status")


def answers_before(control, event):
    """How many answers come before an event."""
    for n in range(1000):
        if control.receive().get("event") == event:
            return n
    raise AssertionError(f"no {event}")


def test_hundred_busy_connections_do_not_hold_up_a_newcomer(controlled, place):
    """It is served after one command, or two: not after one of each connection, let alone after all."""
    server = controlled()
    controls = [server.connect() for _ in range(100)]
    server.pause()
    for control in controls:
        control.send(b'{"execute": "query-status"}' * 20)
    with Peer(place.socket, 1) as newcomer:
        server.resume()
        assert sum(answers_before(control, "CLIENT_CONNECTED") for control in controls) <= 2
        newcomer.setup()


@pytest.mark.parametrize("rest", [b"", b"\n", b" {", b"junk"], ids=repr)
def test_one_that_ends_its_side_is_answered_first(controlled, rest):
    """As a shell does it: printf COMMANDS | socat - UNIX-CONNECT:control"""
    server = controlled()
    control = server.connect()
    control.send(b'{"execute": "query-version"}' * 50 + rest)
    control.socket.shutdown(socket.SHUT_WR)
    assert all("return" in control.answer() for _ in range(50))
    if rest == b"junk":
        assert "Invalid JSON" in control.answer()["error"]["desc"]
    assert control.receive() is None
    eventually(lambda: server.connect().ask("query-status")["control-connections"] <= 2)


def test_one_that_hangs_up_in_the_middle(controlled):
    server = controlled()
    for _ in range(3):
        control = server.connect()
        control.send(b'{"execute": "query-comm')
        control.socket.close()
        control = server.connect()
        control.send({"execute": "query-commands"})
        control.socket.close()
    assert server.connect().ask("query-status")["running"]


AS_OTHER = """
import os, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1]))
sys.path.insert(0, sys.argv[3])
from control import Control, CommandError
try:
    control = Control(sys.argv[4]).negotiate()
except PermissionError:
    sys.exit("no permission")
assert control.ask("query-status")["running"]
try:
    control.ask("quit")
except CommandError as error:
    sys.exit(error.description)
"""


def ask_as(uid, gid, path):
    done = subprocess.run([sys.executable, "-c", AS_OTHER, str(uid), str(gid), TREE / "tests/lib", path],
                          capture_output=True, text=True, timeout=20, check=False)
    return done.stderr.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_who_may_what(controlled, place, unprivileged):
    place.folder.chmod(0o755)
    server = controlled("--control-group", unprivileged)
    assert stat.S_IMODE(server.control.stat().st_mode) == 0o660
    assert ask_as(unprivileged, unprivileged, server.control) == \
        "only root and the server's user may do that"
    assert ask_as(unprivileged, 12345, server.control) == "no permission"
    assert ask_as(0, 0, server.control) == ""
    assert server.process.wait(10) == 0


def test_only_its_user_can_connect_without_a_group(controlled, unprivileged, place):
    place.folder.chmod(0o755)
    server = controlled()
    assert stat.S_IMODE(server.control.stat().st_mode) == 0o600
    if os.geteuid() == 0:
        assert ask_as(unprivileged, unprivileged, server.control) == "no permission"
    server.process.send_signal(signal.SIGTERM)


def test_group_without_a_socket_is_an_error(place):
    done = place.run("--control-group", 0)
    assert (done.returncode, done.stderr) == \
        (1, "ivshmem-server: --control-group needs --control (see --help)\n")


def test_path_that_is_in_use_ends_the_start(controlled, place):
    server = controlled()
    done = subprocess.run([server_program(), "-F", "-S", place.folder / "other", "--memfd",
                           "--control", server.control], capture_output=True, text=True, timeout=10,
                          check=False)
    assert done.returncode == 1 and "another server listens at" in done.stderr
    assert not (place.folder / "other").exists()


def test_a_flood_of_commands_holds_nobody_up(controlled):
    """Whoever has a command is served before somebody else has a second one: also before the end
    that the flood asks for."""
    server = controlled()
    flood, others = server.connect(), [server.connect() for _ in range(3)]
    worker = flood.ask("query-status")["pid"]
    os.kill(worker, signal.SIGSTOP)
    try:
        flood.send(b'{"execute": "query-version"}' * 20 + b'{"execute": "quit"}')
        for other in others:
            other.send(b'{"execute": "query-version"}' * 3)
    finally:
        os.kill(worker, signal.SIGCONT)
    for other in others:
        for _ in range(3):
            assert "return" in other.answer()
    assert server.process.wait(10) == 0
