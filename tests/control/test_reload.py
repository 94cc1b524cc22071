# SPDX-License-Identifier: MIT
"""What a reload does with regions, and with listeners that change places."""

import os
import re
import signal

import pytest
from built import built
from control import CommandError
from serve import children, eventually, is_sanitized, standby, state


def test_reload_makes_and_removes(control, configured, place):
    (configured.folder / "web.conf").unlink()
    configured.write("db", "[region]\n[listener l]\nsocket={folder}/l")
    assert control.ask("reload") == {"done": ["region web: removed", "region db: made"], "left": []}
    assert configured.peer("l").id == 0
    assert not (place.folder / "a").exists()
    assert control.ask("reload") == {"done": [], "left": []}


def test_reload_hurts_nobody(control, configured, place):
    peer = configured.peer("a", 2)
    configured.write("web", "[region]\nsize=1M\nvectors=3\nshm-name=x\nids=9\n"
                            "[listener a]\nsocket={folder}/a\nmax-clients=3\n"
                            "[listener b]\nsocket={folder}/b")
    answer = control.ask("reload")
    assert answer["done"] == ["region web: listener b: made"]
    assert answer["left"] == [
        "region web: size cannot change while the region is there",
        "region web: vectors cannot change while the region is there",
        "region web: the kind of memory cannot change while the region is there",
        "region web: ids cannot change while the region is there",
        f"region web: listener a: {place.folder}/a has 1 client",
    ]
    (configured.folder / "web.conf").unlink()
    answer = control.ask("reload")
    assert answer == {"done": [],
                      "left": ["region web: it is not in the configuration, but has 1 client"]}
    peer.drain()
    assert configured.peer("b", 2).id == 1


def test_reload_changes_what_only_newcomers_notice(control, configured):
    peer = configured.peer("a", 2)
    configured.write("web", "[region]\nvectors=2\n[listener a]\nsocket={folder}/a\nallow-user=12345")
    assert control.ask("reload")["done"] == ["region web: listener a: who may connect has changed"]
    with pytest.raises(ConnectionResetError):
        configured.peer("a", 2)
    assert control.event("CLIENT_REFUSED")["reason"] == "policy"
    peer.drain()


def test_reload_replaces_a_listener_without_clients(control, configured):
    configured.write("web", "[region]\nvectors=2\n[listener a]\nsocket={folder}/b\nvectors=1")
    assert control.ask("reload") == {"done": ["region web: listener a: made anew"], "left": []}
    configured.peer("b", 1)


def test_reload_moves_a_path_to_another_region(control, configured):
    """To one that comes before it, and to one that is new."""
    configured.write("db", "[region]")
    control.ask("reload")
    configured.write("db", "[region]\n[listener a]\nsocket={folder}/a").write("web", "[region]\nvectors=2")
    assert control.ask("reload") == {
        "done": ["region web: listener a: removed", "region db: listener a: made"], "left": []}
    configured.write("db", "[region]").write("a", "[region]\n[listener a]\nsocket={folder}/a")
    assert control.ask("reload") == {
        "done": ["region db: listener a: removed", "region a: made"], "left": []}
    configured.peer("a")


def test_reload_keeps_identities_that_clients_know(configured):
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a\nreserved-id=3\n"
                            "[listener b]\nsocket={folder}/b").start()
    control = configured.connect()
    peer = configured.peer("b")
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a\nreserved-id=4\n"
                            "[listener b]\nsocket={folder}/b")
    assert control.ask("reload") == {
        "done": [],
        "left": ["region web: listener a: its identity is known to clients, and stays as it is"]}
    peer.drain()
    assert configured.peer("a").id == 3


def test_reload_leaves_what_commands_have_made(control, place):
    control.ask("region-add", region="new")
    control.ask("listener-add", region="web", name="l", socket=f"{place.folder}/l")
    assert control.ask("reload") == {"done": [], "left": []}
    assert len(control.ask("query-regions")) == 2 and (place.folder / "l").exists()


def test_wrong_configuration_changes_nothing(control, configured):
    configured.write("db", "[region]").write("web", "[region]\nvectors=x\nsize=x")
    with pytest.raises(CommandError, match=r"web.conf:2: vectors 'x'.*\(and more: see --check-config\)"):
        control.ask("reload")
    assert [region["name"] for region in control.ask("query-regions")] == ["web"]


def test_reload_without_a_configuration(controlled):
    with pytest.raises(CommandError, match="the server runs without a configuration"):
        controlled().connect().ask("reload")


def test_signal_reloads_and_says_what_was_left(configured):
    configured.write("web", "[region]")
    server = configured.start()
    control = configured.connect()
    configured.write("db", "[region]").write("web", "[region]\nvectors=2")
    server.process.send_signal(signal.SIGHUP)
    assert control.event("REGION_ADDED") == {"region": "db"}
    eventually(lambda: "vectors cannot change" in server.errors(), what="the line")
    configured.write("web", "nonsense")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: "nothing has changed" in server.errors(), what="the line")
    assert len(control.ask("query-regions")) == 2


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer's own library must be loaded first")
def test_signal_while_the_next_worker_steps_forward(configured, monkeypatch):
    """It waits until there is one that can take it."""
    monkeypatch.setenv("LD_PRELOAD", str(built("tests/daemon/late.so")))
    configured.write("web", "[region]")
    server = configured.start()
    monkeypatch.delenv("LD_PRELOAD")
    waits = eventually(lambda: standby(server.process.pid), what="a process that stands by")
    eventually(lambda: state(waits) == "S", what="it stands by")
    configured.write("db", "[region]")
    os.kill(children(server.process.pid)[0], signal.SIGKILL)
    eventually(lambda: state(waits) == "R", what="it is on its way")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(configured.connect().ask("query-regions")) == 2, what="the other region")


def test_signal_that_comes_with_the_end_of_a_worker(configured):
    """It is for the next one."""
    configured.write("web", "[region]")
    server = configured.start()
    worker = children(server.process.pid)[0]
    configured.write("db", "[region]")
    os.kill(server.process.pid, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: state(worker) == "Z", what="its end")
    server.process.send_signal(signal.SIGHUP)
    os.kill(server.process.pid, signal.SIGCONT)
    eventually(lambda: len(configured.connect().ask("query-regions")) == 2, what="the other region")


# What a reload does with listeners that change places

LISTENER = "[listener {}]\nsocket={{folder}}/{}\n"


def listeners(*pairs):
    return "[region]\n" + "".join(LISTENER.format(name, path) for name, path in pairs)


def paths_of(control, place, region="web"):
    """Where each listener of a region is, observers aside."""
    return {row["name"]: row["path"].removeprefix(f"{place.folder}/")
            for row in control.ask("query-listeners", region=region) if row["name"] != "observers"}


@pytest.fixture(name="reload")
def fixture_reload(configured):
    """Starts with some listeners of the region web, and reloads with others: reload([("a", "p")...],
    [...]) gives the answer and the connection."""

    def reload(before, after):
        configured.write("web", listeners(*before)).start()
        control = configured.connect()
        configured.write("web", listeners(*after))
        return control, control.ask("reload")

    return reload


@pytest.mark.parametrize("names", ["ab", "abc", "abcdefgh"])
def test_paths_that_rotate(reload, configured, place, names):
    """With two, they are swapped."""
    control, answer = reload(list(zip(names, names)), list(zip(names, names[1:] + names[0])))
    assert answer == {"done": [f"region web: listener {name}: made anew" for name in names], "left": []}
    assert paths_of(control, place) == dict(zip(names, names[1:] + names[0]))
    for name in names:
        configured.peer(name)
    names_of = {row["name"] for row in control.ask("query-clients")["clients"]}
    assert names_of == set(names)
    assert control.ask("reload") == {"done": [], "left": []}


def test_listener_moves_to_the_path_of_one_that_is_removed(reload, configured, place):
    control, answer = reload([("a", "p"), ("b", "q")], [("b", "p")])
    assert answer == {"done": ["region web: listener a: removed", "region web: listener b: made anew"],
                      "left": []}
    assert paths_of(control, place) == {"b": "p"} and not (place.folder / "q").exists()
    configured.peer("p")


def test_new_listener_gets_the_path_that_another_leaves(reload, place):
    control, answer = reload([("b", "p")], [("a", "p"), ("b", "q")])
    assert answer == {"done": ["region web: listener a: made", "region web: listener b: made anew"],
                      "left": []}
    assert paths_of(control, place) == {"a": "p", "b": "q"}


def test_listener_does_not_get_the_path_of_one_in_use(configured, place):
    """Nor does who wants what that one has, and so on: nothing is touched."""
    configured.write("web", listeners(("a", "p"), ("b", "q"), ("c", "r"), ("d", "s"))).start()
    control = configured.connect()
    peer = configured.peer("p")
    before = {path: (place.folder / path).stat().st_ino for path in "pqrs"}
    configured.write("web", listeners(("a", "x"), ("b", "p"), ("c", "q"), ("d", "y"), ("e", "r")))
    held = f"{place.folder}/{{}} is the path of listener {{}} of region web, which stays"
    assert control.ask("reload") == {
        "done": ["region web: listener d: made anew"],
        "left": [f"region web: listener a: {place.folder}/p has 1 client",
                 f"region web: listener b: {held.format('p', 'a')}",
                 f"region web: listener c: {held.format('q', 'b')}",
                 f"region web: listener e: {held.format('r', 'c')}"]}
    assert paths_of(control, place) == {"a": "p", "b": "q", "c": "r", "d": "y"}
    assert all((place.folder / path).stat().st_ino == before[path] for path in "pqr")
    peer.drain()


@pytest.mark.parametrize("order", ["abc", "bca", "cab", "cba"])
def test_listener_that_cannot_be_made_is_as_it_was(configured, place, order):
    """And those that were to get its place are, whether or not they had it already."""
    to = {"a": "none/x", "b": "p", "c": "q"}
    configured.write("web", listeners(("a", "p"), ("b", "q"))).start()
    control = configured.connect()
    configured.write("web", listeners(*[(name, to[name]) for name in order]))
    answer = control.ask("reload")
    assert answer["done"] == [] and len(answer["left"]) == 3
    left = {line.split(": ")[1].removeprefix("listener "): line for line in answer["left"]}
    assert re.search(r"none/x.*: No such file or directory; it stays as it was$", left["a"])
    assert left["b"].endswith("; it stays as it was") and set(left) == set("abc")
    assert paths_of(control, place) == {"a": "p", "b": "q"}
    configured.peer("p"), configured.peer("q")
    assert {row["name"] for row in control.ask("query-clients")["clients"]} == {"a", "b"}
    configured.write("web", listeners(("a", "p"), ("b", "q")))
    assert control.ask("reload") == {"done": [], "left": []}


def test_others_change_when_one_cannot(reload, place):
    control, answer = reload([("a", "p"), ("b", "q"), ("c", "r"), ("d", "s")],
                             [("a", "q"), ("b", "p"), ("c", "none/x"), ("d", "t")])
    assert answer["done"] == [f"region web: listener {name}: made anew" for name in "abd"]
    assert len(answer["left"]) == 1 and answer["left"][0].startswith("region web: listener c: ")
    assert paths_of(control, place) == {"a": "q", "b": "p", "c": "r", "d": "t"}


def reserved(*pairs):
    return "[region]\n" + "".join(f"{LISTENER.format(name, name)}reserved-id={identity}\n"
                                  for name, identity in pairs)


def test_reserved_identities_are_swapped(configured):
    configured.write("web", reserved(("a", 3), ("b", 5), ("c", 7))).start()
    control = configured.connect()
    configured.write("web", reserved(("a", 5), ("b", 3), ("c", 7)))
    assert control.ask("reload") == {"done": ["region web: listener a: made anew",
                                              "region web: listener b: made anew"], "left": []}
    assert (configured.peer("a").id, configured.peer("b").id, configured.peer("c").id) == (5, 3, 7)


def test_reserved_identity_of_one_that_stays_is_not_given_away(configured):
    configured.write("web", reserved(("a", 3)) + LISTENER.format("b", "b")).start()
    control = configured.connect()
    configured.peer("b")
    configured.write("web", reserved(("a", 5), ("b", 3)))
    assert control.ask("reload")["left"] == [
        "region web: listener a: its identity is known to clients, and stays as it is",
        f"region web: listener b: {configured.place.folder}/b has 1 client"]
    configured.write("web", reserved(("a", 5), ("c", 3)) + LISTENER.format("b", "b"))
    assert control.ask("reload") == {"done": [], "left": [
        "region web: listener a: its identity is known to clients, and stays as it is",
        "region web: listener c: reserved-id 3 is that of listener a, which stays"]}
    assert configured.peer("a").id == 3


def test_regions_swap_their_names(configured, place):
    """What each of them is stays, and is said; their listeners change places."""
    configured.write("web", "[region]\nsize=1M\n" + LISTENER.format("a", "p"))
    configured.write("db", "[region]\nsize=2M\n" + LISTENER.format("b", "q")).start()
    control = configured.connect()
    web, db, other = (configured.folder / name for name in ["web.conf", "db.conf", "other"])
    web.rename(other), db.rename(web), other.rename(db)
    answer = control.ask("reload")
    assert sorted(answer["done"]) == [
        "region db: listener a: made", "region db: listener b: removed",
        "region web: listener a: removed", "region web: listener b: made"]
    assert answer["left"] == [f"region {name}: size cannot change while the region is there"
                              for name in ["db", "web"]]
    assert paths_of(control, place) == {"b": "q"} and paths_of(control, place, "db") == {"a": "p"}
    web.rename(other), db.rename(web), other.rename(db)
    control.ask("reload")
    assert control.ask("reload") == {"done": [], "left": []}


def test_listeners_of_two_regions_swap_their_paths(configured, place):
    configured.write("web", listeners(("a", "p"))).write("db", listeners(("a", "q"))).start()
    control = configured.connect()
    configured.write("web", listeners(("a", "q"))).write("db", listeners(("a", "p")))
    assert control.ask("reload") == {"done": ["region db: listener a: made anew",
                                              "region web: listener a: made anew"], "left": []}
    assert paths_of(control, place) == {"a": "q"} and paths_of(control, place, "db") == {"a": "p"}


def test_new_region_does_not_get_a_path_in_use(configured, place):
    configured.write("web", listeners(("a", "p"))).start()
    control = configured.connect()
    configured.peer("p")
    configured.write("web", listeners(("a", "q"))).write("db", listeners(("b", "p")))
    assert control.ask("reload") == {"done": [], "left": [
        f"region web: listener a: {place.folder}/p has 1 client",
        f"region db: {place.folder}/p is the path of listener a of region web"]}


def test_service_goes_on_after_a_swap(configured):
    """A worker that comes up later knows of it."""
    configured.write("web", listeners(("a", "p"), ("b", "q")))
    server = configured.start()
    control = configured.connect()
    configured.write("web", listeners(("a", "q"), ("b", "p")))
    control.ask("reload")
    worker, = children(server.process.pid)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: children(server.process.pid) not in ([], [worker]), what="another worker")
    configured.peer("p")
    assert [row["name"] for row in configured.connect().ask("query-clients")["clients"]] == ["b"]
