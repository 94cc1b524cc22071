# SPDX-License-Identifier: MIT
"""What was made or changed while the server ran is there for the next worker, too."""

import os
import signal

import pytest
from control import CommandError
from peer import settle
from serve import children, eventually

WEB = "[region]\nvectors=2\n[listener a]\nsocket={folder}/a\n"


@pytest.fixture(name="server")
def fixture_server(configured):
    return configured.write("web", WEB).start()


def kill_worker(server):
    first, = children(server.process.pid)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: (now := children(server.process.pid)) and now != [first],
               what="another worker")


def names_of(rows):
    return {row["name"] for row in rows}


def test_region_made_by_command(server, configured, place):
    control = configured.connect()
    control.ask("region-add", region="new", size="1M", vectors=3)
    control.ask("listener-add", region="new", name="l", socket=f"{place.folder}/l",
                **{"reserved-id": 7})
    peer = configured.peer("l", 3)
    kill_worker(server)
    observer = configured.peer("new.observers", 3)
    assert observer.peers[7]
    control = configured.connect()
    assert names_of(control.ask("query-regions")) == {"web", "new"}
    row, = [row for row in control.ask("query-listeners", region="new") if row["name"] == "l"]
    assert (row["reserved-id"], row["vectors"], row["clients"]) == (7, 3, 1)
    control.ask("region-remove", region="new", force=True)
    peer.until_hung_up()
    kill_worker(server)
    control = configured.connect()
    assert names_of(control.ask("query-regions")) == {"web"}
    assert not (place.folder / "l").exists()


def test_listener_that_was_removed_stays_away(server, configured, place):
    control = configured.connect()
    control.ask("listener-remove", region="web", name="a")
    kill_worker(server)
    assert names_of(configured.connect().ask("query-listeners")) == {"observers"}
    assert not (place.folder / "a").exists()


def test_who_may_connect_after_a_reload(server, configured):
    peer = configured.peer("a", 2)
    configured.write("web", WEB + "allow-user=12345\n")
    configured.connect().ask("reload")
    kill_worker(server)
    server.expected = ["refused", "worker was killed"]
    with pytest.raises(ConnectionResetError):
        configured.peer("a", 2)
    settle([peer])


def test_descriptors_after_many_changes(server, configured):
    """Nothing of what has gone is left open, and nothing of what is there was closed."""
    peer = configured.peer("a", 2)
    kill_worker(server)
    before = eventually(lambda: configured.connect().ask("query-status"))["fds-used"]
    for number in range(20):
        control = configured.connect()
        control.ask("region-add", region=f"r{number}")
        if number % 3 == 0:
            kill_worker(server)
            control = configured.connect()
        control.ask("region-remove", region=f"r{number}")
    kill_worker(server)
    assert configured.connect().ask("query-status")["fds-used"] <= before + 1
    settle([peer, configured.peer("a", 2)])


MAX_LISTENERS = 1024  # of a region, its observers' included


@pytest.mark.starts
def test_as_many_listeners_as_there_can_be(configured, place):
    """One more than a next worker can read is one too many for a command."""
    listeners = [f"[listener l{i}]\nsocket={{folder}}/l{i}\n" for i in range(MAX_LISTENERS - 2)]
    server = configured.write("web", "[region]\n" + "".join(listeners)).start()
    control = configured.connect()
    control.ask("listener-add", region="web", name="last", socket=f"{place.folder}/last")
    with pytest.raises(CommandError, match="a region has 1024 at most"):
        control.ask("listener-add", region="web", name="more", socket=f"{place.folder}/more")
    assert not (place.folder / "more").exists()
    peer = configured.peer("last")
    kill_worker(server)
    assert configured.peer("l0").id == 1
    peer.close()
    assert len(configured.connect().ask("query-listeners")) == MAX_LISTENERS
