# SPDX-License-Identifier: MIT
"""Regions and listeners that are made and removed while the server runs."""

import os
import stat

import pytest
from control import CommandError
from serve import eventually, is_sanitized, mapped_states, standby, status_of


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
    with pytest.raises(CommandError, match="listener l of region new has 1 client; 'force' disconnects it"):
        control.ask("listener-remove", region="new", name="l")
    with pytest.raises(CommandError, match="region new has 1 client; 'force' disconnects it"):
        control.ask("region-remove", region="new")
    control.ask("listener-remove", region="new", name="l", force=True)
    peer.until_hung_up()
    assert not (place.folder / "l").exists()
    assert control.event("LISTENER_REMOVED")["name"] == "l"
    control.ask("region-remove", region="new")
    assert control.event("REGION_REMOVED") == {"region": "new"}
    assert not (place.folder / "new.observers").exists()
    control.ask("region-add", region="new")


def test_whoever_stands_by_follows(controlled):
    """It has the states of all regions mapped, and of none that has gone."""
    server = controlled()
    control = server.connect()
    waits = eventually(lambda: standby(server.process.pid), what="a process that stands by")
    eventually(lambda: len(mapped_states(waits)) == 1, what="the state of the first region")
    control.ask("region-add", region="new")
    eventually(lambda: len(mapped_states(waits)) == 2, what="that of the new one")
    control.ask("region-remove", region="new")
    eventually(lambda: len(mapped_states(waits)) == 1, what="that of the first one only")


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


def test_names_of_users_are_found_after_the_start(control, place):
    control.ask("listener-add", region="web", name="l", socket=f"{place.folder}/l",
                **{"allow-user": ["root", "nobody"], "allow-group": ["root"]})
