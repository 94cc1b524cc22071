# SPDX-License-Identifier: MIT
"""What the control socket tells of a server that runs."""

import os
import pathlib
import re
import signal
import socket
import time

import pytest
from control import CommandError
from serve import children, eventually


def test_version_is_what_the_greeting_says(controlled):
    control = controlled().connect()
    assert control.greeting == {"QMP": {"version": control.ask("query-version"), "capabilities": []}}
    assert set(control.ask("query-version")) == {"qemu", "package"}


def test_commands_are_described(controlled):
    commands = {row["name"]: row for row in controlled().connect().ask("query-commands")}
    assert {"query-status", "query-clients", "client-disconnect", "quit"} <= set(commands)
    assert not commands["query-status"]["changes"] and commands["quit"]["changes"]
    region = commands["client-disconnect"]["arguments"][0]
    assert (region["name"], region["type"], region["required"]) == ("region", "string", True)


def test_status(controlled):
    server = controlled()
    status = server.connect().ask("query-status")
    assert status["pid"] in server.pids()
    assert abs(status["since"]["seconds"] - time.time()) < 60
    assert status["fds-used"] == server.n_fds()
    assert 100 < status["fds-allowed"]
    assert (status["regions"], status["clients"], status["control-connections"]) == (1, 0, 1)
    assert status["cpu-us"] > 0 and status["workers-killed"] == 0
    assert 0.5 < status["resident"] / 1024 / resident(status["pid"]) < 2


def resident(pid):
    """In KiB."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^VmRSS:\s*(\d+) kB$", text, re.MULTILINE)[1])


def test_killed_workers_are_counted_and_take_no_counts_along(controlled, place):
    server = controlled("-n", 2, "--allow-user", os.geteuid())
    peers = [place.peer(2) for _ in range(3)]
    peers.pop().close()
    before, = eventually(lambda: [row for row in server.connect().ask("query-stats")
                                  if row["departures"]], what="a departure")
    for n in [1, 2]:
        worker, = children(server.process.pid)
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: children(server.process.pid) not in ([], [worker]), what="a new worker")
        control = server.connect()
        assert control.ask("query-status")["workers-killed"] == n
        assert control.ask("query-stats") == [before]
        listener, = control.ask("query-listeners")
        assert (listener["clients"], listener["joins"]) == (2, 3)


def test_region_and_listener(controlled, place):
    control = controlled("-n", 3).connect()
    place.peer(3)
    region, = control.ask("query-regions")
    assert region["size"] == 64 << 10 and region["vectors"] == 3 and region["memory"] == "shm-name"
    assert region["memory-name"] == place.name
    assert (region["listeners"], region["clients"]) == (1, 1)
    listener, = control.ask("query-listeners")
    assert listener["region"] == region["name"] and listener["path"] == str(place.socket)
    assert (listener["clients"], listener["vectors"]) == (1, 3)
    assert (listener["joins"], listener["refusals"]) == (1, 0)
    assert control.ask("query-listeners", region=region["name"]) == [listener]


def test_client_with_its_doorbells(controlled, place):
    control = controlled("-n", 2).connect()
    first, second = place.peer(2), place.peer(2)
    second.ring(first.id, 1)
    second.ring(first.id, 1)
    clients = control.ask("query-clients")["clients"]
    assert [client["id"] for client in clients] == [0, 1]
    client = clients[0]
    assert (client["pid"], client["uid"], client["gid"]) == (os.getpid(), os.geteuid(), os.getegid())
    assert client["command"] and client["vectors"] == 2 and not client["observer"]
    assert client["doorbells"] == [0, 2]
    assert abs(client["since"]["seconds"] - time.time()) < 60


def test_what_a_client_has_still_to_hear(controlled, place, connect):
    server = controlled("-n", 64)
    control = server.connect()
    server.n_vectors = 64
    connect(server).setup()
    for _ in range(8):
        place.peer(64)  # of which the first one reads nothing: its socket holds some 270 messages
    client = control.ask("query-clients")["clients"][0]
    assert 1 <= client["pending"] <= 8
    stats, = control.ask("query-stats")
    assert stats["pending"] >= client["pending"] and stats["retries"] >= 1


def test_thousand_vectors_and_a_hundred_clients_come_in_pages(controlled, place, stack):
    control = controlled("-n", 16).connect()
    for _ in range(100):
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(place.socket))
    eventually(lambda: control.ask("query-stats")[0]["joins"] == 100, what="a hundred clients")
    seen, first, pages = [], 0, 0
    while first is not None:
        answer = control.ask("query-clients", first=first)
        seen += [client["id"] for client in answer["clients"]]
        first, pages = answer.get("next"), pages + 1
    assert seen == list(range(100)) and pages > 2


def test_statistics(controlled, place):
    control = controlled().connect()
    peers = [place.peer() for _ in range(3)]
    peers.pop().close()
    stats = eventually(lambda: [row for row in control.ask("query-stats") if row["departures"]],
                       what="a departure")[0]
    assert (stats["joins"], stats["departures"], stats["clients"]) == (3, 1, 2)
    assert stats["bytes"] == 8 * stats["messages"] > 0
    buckets = stats["latency"]["buckets"]
    assert sum(bucket["count"] for bucket in buckets) == 3 and stats["latency"]["sum-ns"] > 0
    assert buckets[0]["up-to-us"] == 10 and "up-to-us" not in buckets[-1]
    assert stats["fds-used"] == 4 <= stats["fds-allowed"]
    assert (stats["ids-used"], stats["ids-left"]) == (3, 65536 - 3)  # two peers know the third's
    assert set(stats["refusals"].values()) == {0}


def test_refusals_are_counted_by_reason_and_told(controlled, place):
    server = controlled("--allow-user", 12345)
    control = server.connect()
    with socket.socket(socket.AF_UNIX) as refused:
        refused.connect(str(place.socket))
        refused.settimeout(10)
        assert refused.recv(1) == b""
    event = control.event("CLIENT_REFUSED")
    assert event["reason"] == "policy" and event["pid"] == os.getpid()
    assert control.ask("query-stats")[0]["refusals"]["policy"] == 1
    listener, = control.ask("query-listeners")
    assert (listener["joins"], listener["refusals"]) == (0, 1)


def test_clients_that_come_and_go_are_told(controlled, place):
    control = controlled().connect()
    region = control.ask("query-regions")[0]["name"]
    peer = place.peer()
    connected = control.event("CLIENT_CONNECTED")
    assert (connected["region"], connected["id"], connected["pid"]) == (region, 0, os.getpid())
    peer.close()
    left = control.event("CLIENT_LEFT")
    assert (left["region"], left["id"], left["uid"]) == (region, 0, os.geteuid())


def test_client_can_be_disconnected(controlled, place):
    control = controlled().connect()
    region = control.ask("query-regions")[0]["name"]
    first, second = place.peer(), place.peer()
    assert control.ask("client-disconnect", region=region, id=1) == {"disconnected": 1}
    second.until_hung_up()
    assert control.ask("client-disconnect", region=region, pid=os.getpid()) == {"disconnected": 1}
    first.until_hung_up()
    with pytest.raises(CommandError, match=f"region {region} has no client 1$") as error:
        control.ask("client-disconnect", region=region, id=1)
    assert error.value.kind == "DeviceNotFound"


def test_quit_ends_the_server(controlled, place):
    server = controlled()
    control = server.connect()
    control.ask("quit")
    assert control.receive() is None
    assert server.process.wait(10) == 0
    assert not server.control.exists() and not place.socket.exists()


def test_unprivileged_server_tells_the_same(controlled, place, unprivileged):
    os.chown(place.folder, unprivileged, unprivileged)
    control = controlled("--user", f"{unprivileged}:{unprivileged}", "--mode", 777).connect()
    first, second = place.peer(), place.peer()
    second.ring(first.id, 0)
    clients = control.ask("query-clients")["clients"]
    assert [client["doorbells"] for client in clients] == [[1], [0]]
    assert control.ask("query-status")["fds-used"] > 5
