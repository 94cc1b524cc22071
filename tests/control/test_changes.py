# SPDX-License-Identifier: MIT
"""Regions and listeners that are made and removed while the server runs."""

import os
import re
import signal
import stat

import pytest
from control import CommandError
from serve import children, eventually, is_sanitized, status_of


@pytest.fixture(name="control")
def fixture_control(configured):
    configured.write("web", "[region]\nvectors=2\n[listener a]\nsocket={folder}/a")
    configured.start()
    return configured.connect()


def test_region_and_listener_of_the_runtime(control, configured, place):
    control.ask("region-add", region="new", size="1M", vectors=4, **{"max-clients": 10})
    assert control.event("REGION_ADDED") == {"region": "new"}
    control.ask("listener-add", region="new", name="l", socket=f"{place.folder}/l", mode="600",
                reserved_id=7, vectors=3)
    added = control.event("LISTENER_ADDED")
    assert added == {"region": "new", "name": "l", "path": f"{place.folder}/l"}
    region, = [row for row in control.ask("query-regions") if row["name"] == "new"]
    assert (region["size"], region["vectors"], region["max-clients"]) == (1 << 20, 4, 10)
    assert stat.S_IMODE((place.folder / "l").stat().st_mode) == 0o600
    peer = configured.peer("l", 3)
    assert peer.id == 7
    with pytest.raises(CommandError, match="listener l of region new has 1 clients; 'force' disconnects"):
        control.ask("listener-remove", region="new", name="l")
    with pytest.raises(CommandError, match="region new has 1 clients; 'force' disconnects them"):
        control.ask("region-remove", region="new")
    control.ask("listener-remove", region="new", name="l", force=True)
    peer.until_hung_up()
    assert not (place.folder / "l").exists()
    assert control.event("LISTENER_REMOVED")["name"] == "l"
    control.ask("region-remove", region="new")
    assert control.event("REGION_REMOVED") == {"region": "new"}
    assert not (place.folder / "new.observers").exists()
    control.ask("region-add", region="new")


def test_region_goes_by_force_with_its_clients(control, configured):
    peer = configured.peer("a", 2)
    control.ask("region-remove", region="web", force=True)
    peer.until_hung_up()
    assert control.event("CLIENT_LEFT")["id"] == 0
    assert control.ask("query-regions") == []


@pytest.mark.parametrize("kind", [{}, {"hugepages": 2 << 20}, {"shm-dir": "/dev/shm"},
                                  {"shm-name": f"ivshmem-test-{os.getpid()}"}])
def test_kinds_of_memory(control, kind):
    try:
        control.ask("region-add", region="new", size=64 << 10, **kind)
    except CommandError as error:
        assert "hugepages" in kind and "no room" in error.description  # this machine has none
        return
    control.ask("region-remove", region="new")


def test_an_object_is_one_regions(control, configured):
    """However it is written, and whoever makes the second one."""
    name = f"ivshmem-test-{os.getpid()}"
    control.ask("region-add", region="one", size=64 << 10, **{"shm-name": name})
    with pytest.raises(CommandError, match=f"shm-name /{name} is that of region one"):
        control.ask("region-add", region="two", size=64 << 10, **{"shm-name": f"/{name}"})
    configured.write("three", f"[region]\nsize=64K\nshm-name=/{name}")
    assert control.ask("reload") == {
        "done": [], "left": [f"region three: shm-name /{name} is that of region one"]}
    control.ask("region-remove", region="one")
    assert control.ask("reload") == {"done": ["region three: made"], "left": []}


def test_identities_are_as_many_as_clients(control, place):
    control.ask("region-add", region="new", size=64 << 10, **{"max-clients": 1})
    listener = {"region": "new", "socket": f"{place.folder}/one", "reserved-id": 1}
    control.ask("listener-add", name="one", **listener)
    listener |= {"socket": f"{place.folder}/two", "reserved-id": 2}
    with pytest.raises(CommandError, match="/two: no room for ID 2: .* are 1 at most together"):
        control.ask("listener-add", name="two", **listener)
    assert not (place.folder / "two").exists()


GIVEN_UP = "Operation not permitted .the right to give sockets to other owners"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("user", [[], ["--user", "12345:12345"]], ids=["who it is", "another user"])
def test_sockets_can_have_groups_that_were_named_at_the_start(configured, place, user):
    """What needs a privilege that has been given up is refused for that reason."""
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a\ngroup=12346")
    place.folder.chmod(0o777)
    server = configured.start("--control-group", "12347", *user)
    control = configured.connect()
    path = place.folder / "l"
    listener = {"region": "web", "name": "l", "socket": str(path)}
    for more in [{"owner": 12348}, {"group": 12348}, {"owner": 12348, "group": 12346}]:
        with pytest.raises(CommandError, match=GIVEN_UP):
            control.ask("listener-add", **listener, **more)
        assert not path.exists()
    for group in [12346, 12347]:
        control.ask("listener-add", **listener, group=group, mode="640")
        found = path.stat()
        assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (group, 0o640)
        control.ask("listener-remove", region="web", name="l")
    for pid in server.pids():
        assert int(status_of(pid, "CapEff"), 16) == int(status_of(pid, "CapPrm"), 16) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_lock_of_somebody_else_is_not_taken_for_a_lack_of_rights(control, place):
    lock = place.folder / "l.lock"
    lock.touch()
    os.chown(lock, 12345, 0)
    lock.chmod(0o660)  # it can be opened without capabilities
    with pytest.raises(CommandError, match="belongs to somebody else: it is not used$"):
        control.ask("listener-add", region="web", name="l", socket=f"{place.folder}/l")


def test_drop_in_can_have_more_regions(controlled, place):
    control = controlled().connect()
    control.ask("region-add", region="two")
    control.ask("listener-add", region="two", name="l", socket=str(place.folder / "l"))
    assert place.peer(path=place.folder / "l").id == 0
    control.ask("region-remove", region="ivshmem")
    assert not place.socket.exists()


@pytest.mark.skipif(is_sanitized(), reason="sanitized builds are not confined")
def test_folder_that_was_not_named(configured, tmp_path):
    configured.write("web", "[region]").start()
    control = configured.connect()
    with pytest.raises(CommandError, match="Permission denied.*--listen-folder"):
        control.ask("listener-add", region="web", name="l", socket=f"{tmp_path}/l")
    assert control.ask("query-status")["running"]


def test_folder_that_was_named(configured, tmp_path):
    configured.write("web", "[region]").start("--listen-folder", str(tmp_path))
    configured.connect().ask("listener-add", region="web", name="l", socket=f"{tmp_path}/l")


WRONG = [
    ("region-add", {}, "needs the argument 'region'"),
    ("region-add", {"region": "web"}, "there is a region 'web' already"),
    ("region-add", {"region": "a b"}, "argument 'region' 'a b': a name has letters"),
    ("region-add", {"region": ""}, "a name has 1 to 63 bytes"),
    ("region-add", {"region": "x" * 64}, "a name has 1 to 63 bytes"),
    ("region-add", {"region": 1}, "argument 'region' is not a string"),
    ("region-add", {"region": "x", "nope": 1}, "region-add has no argument 'nope'"),
    ("region-add", {"region": "x", "socket": "/x"}, "region-add has no argument 'socket'"),
    ("region-add", {"region": "x", "size": "big"}, "argument 'size' 'big': not a size"),
    ("region-add", {"region": "x", "size": 0}, "argument 'size' '0': out of range"),
    ("region-add", {"region": "x", "size": []}, "'size' is not of the type string or integer"),
    ("region-add", {"region": "x", "vectors": "1"}, "argument 'vectors' is not of the type integer"),
    ("region-add", {"region": "x", "vectors": 2049}, "'vectors' '2049': not a number from 1 to 2048"),
    ("region-add", {"region": "x", "max-clients": 0}, "'max-clients' '0': not a number from"),
    ("region-add", {"region": "x", "max-clients": 65536, "vectors": 2048}, "need more descriptors"),
    ("region-add", {"region": "x", "max-clients-per-user": 0}, "not a number from"),
    ("region-add", {"region": "x", "setup-timeout": -1}, "not a number from"),
    ("region-add", {"region": "x", "ids": 65537}, "'ids' '65537': not a number from 1 to 65536"),
    ("region-add", {"region": "x", "no-reserve": "yes"}, "'no-reserve' is not of the type boolean"),
    ("region-add", {"region": "x", "hugepages": "3M"}, "not a page size"),
    ("region-add", {"region": "x", "shm-dir": "y"}, "not a path that begins with /"),
    ("region-add", {"region": "x", "shm-dir": "/no/such"}, "cannot make a file in the directory"),
    ("region-add", {"region": "x", "shm-name": "a/b"}, "not the name of a shared memory object"),
    ("region-add", {"region": "x", "shm-name": "a", "hugepages": "2M"}, "only one of shm-name"),
    ("region-remove", {}, "needs the argument 'region'"),
    ("region-remove", {"region": "x"}, "there is no region 'x'"),
    ("region-remove", {"region": "web", "force": 1}, "'force' is neither true nor false"),
    ("listener-add", {"region": "web"}, "needs the argument 'name'"),
    ("listener-add", {"region": "x", "name": "l"}, "there is no region 'x'"),
    ("listener-add", {"region": "web", "name": "a"}, "region web has a listener 'a' already"),
    ("listener-add", {"region": "web", "name": "/"}, "argument 'name' '/': a name has letters"),
    ("listener-add", {"region": "web", "name": "l"}, "socket or libvirt-name is missing"),
    ("listener-add", {"region": "web", "name": "l", "socket": "x"}, "not a path that begins with /"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/" + "x" * 107}, "107 bytes at most"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/a"},
     "is the path of listener a of region web"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/control"},
     "another server listens at"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/conf"}, "is not a socket|conf"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/x", "libvirt-name": "x"},
     "only one of socket and libvirt-name"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/x", "mode": "9"}, "not a mode"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/x", "owner": "no-such"},
     "no such user"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/x", "group": "no-such"},
     "no such group"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/x", "allow-user": "root"},
     "'allow-user' is not of the type array"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/x", "allow-user": [None]},
     "'allow-user' is neither text nor number"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "allow-user": []},
     "'allow-user' names nobody"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "allow-user": [""]},
     "'allow-user' '': names nobody"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/x", "allow-group": ["no-such"]},
     "no-such: no such group"),
    ("listener-add", {"region": "web", "name": "l", "socket": "/x", "read-only-user": [1] * 65},
     "too many"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "reserved-id": 65536},
     "not a number from 0 to 65535"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "vectors": 3},
     "vectors 3 are more than the region's 2"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "observers": True,
                      "reserved-id": 1}, "only one of observers and reserved-id"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "max-accepts": 0},
     "not a number from"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "backlog": 0},
     "not a number from"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "max-clients": "3"},
     "'max-clients' is not of the type integer"),
    ("listener-add", {"region": "web", "name": "l", "socket": "{folder}/l", "read-only": 0},
     "'read-only' is not of the type boolean"),
    ("listener-remove", {"region": "web"}, "needs the argument 'name'"),
    ("listener-remove", {"region": "web", "name": "x"}, "region web has no listener 'x'"),
    ("listener-remove", {"region": "x", "name": "x"}, "there is no region 'x'"),
    ("reload", {"now": True}, "reload has no argument 'now'"),
    ("quit", {"now": True}, "quit has no argument 'now'"),
]


def test_wrong_arguments_are_named_and_change_nothing(control, place):
    before = control.ask("query-regions"), control.ask("query-listeners")
    files = sorted(path for path in place.folder.rglob("*") if path.suffix != ".lock")
    for command, arguments, why in WRONG:
        arguments = {name: value.format(folder=place.folder) if isinstance(value, str) else value
                     for name, value in arguments.items()}
        with pytest.raises(CommandError, match=why):
            control.ask(command, **arguments)
            pytest.fail(f"{command} {arguments}: nobody minded")
    assert (control.ask("query-regions"), control.ask("query-listeners")) == before
    assert sorted(path for path in place.folder.rglob("*") if path.suffix != ".lock") == files


def test_identity_that_is_in_use_cannot_be_reserved(control, configured, place):
    configured.peer("a", 2)
    with pytest.raises(CommandError, match="ID 0 is in use"):
        control.ask("listener-add", region="web", name="l", socket=f"{place.folder}/l", reserved_id=0)
    control.ask("listener-add", region="web", name="l", socket=f"{place.folder}/l", reserved_id=1)
    with pytest.raises(CommandError, match="ID 1 is in use"):
        control.ask("listener-add", region="web", name="m", socket=f"{place.folder}/m", reserved_id=1)
    assert not (place.folder / "m").exists()


# What a reload does

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
        f"region web: listener a: {place.folder}/a has 1 clients",
    ]
    (configured.folder / "web.conf").unlink()
    answer = control.ask("reload")
    assert answer == {"done": [],
                      "left": ["region web: it is not in the configuration, but has 1 clients"]}
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


def test_clients_are_told_of_changes_at_once(configured):
    """When nothing else happens that would wake the server."""
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a").start()
    control = configured.connect()
    stays, leaves = configured.peer("a"), configured.peer("a")
    stays.until_told(leaves.id)
    control.ask("client-disconnect", region="web", id=leaves.id)
    stays.until_gone(leaves.id)
    control.ask("listener-add", region="web", name="b", reserved_id=9,
                socket=f"{configured.place.folder}/b")
    stays.until_told(9)
    control.ask("listener-remove", region="web", name="b")
    stays.until_gone(9)


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


def test_names_of_users_are_found_after_the_start(control, place):
    control.ask("listener-add", region="web", name="l", socket=f"{place.folder}/l",
                **{"allow-user": ["root", "nobody"], "allow-group": ["root"]})


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
        "left": [f"region web: listener a: {place.folder}/p has 1 clients",
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
        f"region web: listener b: {configured.place.folder}/b has 1 clients"]
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
        f"region web: listener a: {place.folder}/p has 1 clients",
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
