# SPDX-License-Identifier: MIT
"""Configuration files: what they make, and what is said of wrong ones."""

import os
import shutil
import stat
import subprocess

import pytest
from peer import Peer
from serve import server_program

GOOD = """
# a comment
[region]
size = 1M           ; another one
vectors = 2

[listener vm1]
socket = {folder}/vm1
reserved-id = 1
[listener any]
  socket = {folder}/any
  mode = 0600
"""


def test_regions_and_listeners_are_made(configured, place):
    server = configured.write("web", GOOD).write("db", "[region]\nsize=64K").start()
    control = configured.connect()
    assert [(region["name"], region["size"], region["memory"])
            for region in control.ask("query-regions")] == [("db", 64 << 10, "memfd"),
                                                            ("web", 1 << 20, "memfd")]
    listeners = {row["name"]: row for row in control.ask("query-listeners", region="web")}
    assert set(listeners) == {"vm1", "any", "observers"}
    assert listeners["vm1"]["reserved-id"] == 1
    assert listeners["observers"]["observers"]
    assert listeners["observers"]["path"] == f"{place.folder}/web.observers"
    assert stat.S_IMODE((place.folder / "any").stat().st_mode) == 0o600
    assert (place.folder / "db.observers").exists()
    peer = configured.peer("vm1", 2)
    assert peer.id == 1
    client, = control.ask("query-clients")["clients"]
    assert (client["region"], client["name"], client["id"]) == ("web", "vm1", 1)
    assert server.stop() == 0
    assert {path.name for path in place.folder.iterdir() if path.suffix != ".lock"} == {"conf"}


def test_regions_do_not_know_each_other(configured):
    text = "[region]\n[listener a]\nsocket={{folder}}/{0}"
    configured.write("one", text.format("one")).write("two", text.format("two")).start()
    one, two = configured.peer("one"), configured.peer("two")
    assert (one.id, two.id) == (0, 0)
    control = configured.connect()
    assert [row["joins"] for row in control.ask("query-stats")] == [1, 1]


def test_observers_use_no_id_up(configured):
    configured.write("web", GOOD).start()
    control = configured.connect()
    configured.peer("web.observers", 2)
    assert control.event("CLIENT_CONNECTED")["observer"]
    assert configured.peer("any", 2).id == 0


def test_check_of_a_good_one_says_nothing_and_makes_nothing(configured, place):
    configured.write("web", GOOD)
    done = configured.check("--check-config")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in place.folder.iterdir()] == ["conf"]


def lines(done, status=1):
    assert done.returncode == status and done.stdout == ""
    prefix = "ivshmem-server: "
    assert all(line.startswith(prefix) for line in done.stderr.splitlines())
    return [line[len(prefix):] for line in done.stderr.splitlines()]


WRONG = [
    # keys of a region: unknown, wrong type, out of range, doubled, missing value, in conflict
    ("[region]\nnope=1", "2: there is no key 'nope' in this section"),
    ("[region]\nsocket=/x", "2: there is no key 'socket' in this section"),
    ("[region]\nsize=big", "2: size 'big': not a size: digits, then nothing, K, M, G or T"),
    ("[region]\nsize=0", "2: size '0': out of range; 1 to 4194304T bytes are possible"),
    ("[region]\nsize=1M\nsize=1M", "3: size comes a second time in its section"),
    ("[region]\nsize=", "2: size: the value is missing"),
    ("[region]\nsize", "2: neither a section nor KEY = VALUE"),
    ("[region]\nvectors=0", "2: vectors '0': not a number from 1 to 2048"),
    ("[region]\nvectors=2049", "2: vectors '2049': not a number from 1 to 2048"),
    ("[region]\nmax-clients=65537", "2: max-clients '65537': not a number from 1 to 65536"),
    ("[region]\nmax-clients-per-user=x", "2: max-clients-per-user 'x': not a number from 1 to 65536"),
    ("[region]\nsetup-timeout=0", "2: setup-timeout '0': not a number from 1 to 86400000"),
    ("[region]\nids=65537", "2: ids '65537': not a number from 1 to 65536"),
    ("[region]\nno-reserve=perhaps", "2: no-reserve 'perhaps': neither yes nor no"),
    ("[region]\nhugepages=3M", "2: hugepages '3M': not a page size, such as 2M or 1G"),
    ("[region]\nshm-dir=x", "2: shm-dir 'x': not a path that begins with /"),
    ("[region]\nshm-name=a/b", "2: shm-name 'a/b': not the name of a shared memory object"),
    ("[region]\nshm-name=/", "2: shm-name '/': not the name of a shared memory object"),
    ("[region]\nshm-name=a\nshm-dir=/b",
     "3: shm-dir '/b': only one of shm-name, shm-dir and hugepages is possible"),
    # sections
    ("size=1M\n[region]", "1: size stands before any section"),
    ("[listener a]\nsocket=/a", " there is no section [region]"),
    ("", " there is no section [region]"),
    ("[region]\n[region]\nsize=1M", "2: section [region] comes a second time"),
    ("[region]\n[other]", "2: there is no section [other]; there are [region] and [listener NAME]"),
    ("[region]\n[listener]", "2: there is no section [listener]; there are [region] and "
                             "[listener NAME]"),
    ("[region]\n[listener a/b]\nsocket=/a",
     "2: section [listener a/b]: a name has letters, digits, '.', '_' and '-' only"),
    ("[region]\n[listener .a]\nsocket=/a",
     "2: section [listener .a]: a name begins with a letter, a digit or _"),
    ("[region]\n[listener a]\nsocket=/a\n[listener a]\nsocket=/b",
     "4: section [listener a] comes a second time"),
    ("[region\nsize=1M", "1: a section is [region] or [listener NAME], alone on its line"),
    ("[region] size=1M", "1: a section is [region] or [listener NAME], alone on its line"),
    ("[region]\n#" + "x" * 300, "2: the line has more than 180 bytes"),
    ("[region]\nsize=1M\0\nvectors=2", "2: the line has a zero byte"),
    ("[region]\n\0\n", "2: the line has a zero byte"),
    ("[region]\nsize ;=1M", "2: neither a section nor KEY = VALUE"),
    ("\ufeff[region = 1", "1: a section is [region] or [listener NAME], alone on its line"),
    ("[region]" + "\n" * 100001, "100001: the file has more than 100000 lines"),
    # keys of a listener
    ("[region]\n[listener a]", "2: listener a: socket or libvirt-name is missing"),
    ("[region]\n[listener a]\nsocket=a", "3: socket 'a': not a path that begins with /"),
    ("[region]\n[listener a]\nsocket=/" + "a" * 107, "a socket's path has 107 bytes at most"),
    ("[region]\n[listener a]\nsocket=/a\nlibvirt-name=a",
     "2: listener a: only one of socket and libvirt-name is possible"),
    ("[region]\n[listener a]\nlibvirt-name=a/b",
     "3: libvirt-name 'a/b': a name has letters, digits, '.', '_' and '-' only"),
    ("[region]\n[listener a]\nsocket=/a\nmode=8", "4: mode '8': not a mode, from 0 to 777 (octal)"),
    ("[region]\n[listener a]\nsocket=/a\nallow-user=,", "4: allow-user ',': names nobody"),
    ("[region]\n[listener a]\nsocket=/a\nread-only-user=" + "1 " * 65, "too many (64 are possible)"),
    ("[region]\n[listener a]\nsocket=/a\nread-only=1", "4: read-only '1': neither yes nor no"),
    ("[region]\n[listener observers]\nobservers=no",
     "2: listener observers: only observers = yes is possible for this name"),
    ("[region]\n[listener a]\nsocket=/a\nobservers=x", "4: observers 'x': neither yes nor no"),
    ("[region]\n[listener a]\nsocket=/a\nreserved-id=65536",
     "4: reserved-id '65536': not a number from 0 to 65535"),
    ("[region]\n[listener a]\nsocket=/a\nreserved-id=-1",
     "4: reserved-id '-1': not a number from 0 to 65535"),
    ("[region]\n[listener a]\nsocket=/a\nreserved-id=65535",
     "2: listener a: reserved-id 65535 is what observers are told as their own"),
    ("[region]\nids=8\n[listener a]\nsocket=/a\nreserved-id=8",
     "3: listener a: reserved-id 8 is not below the region's ids 8"),
    ("[region]\n[listener a]\nsocket=/a\nreserved-id=1\nobservers=yes",
     "2: listener a: only one of observers and reserved-id is possible"),
    ("[region]\n[listener a]\nsocket=/a\nreserved-id=1\n[listener b]\nsocket=/b\nreserved-id=1",
     "5: listener b: reserved-id 1 is that of listener a"),
    ("[region]\nmax-clients=1\n[listener a]\nsocket=/a\nreserved-id=1\n"
     "[listener b]\nsocket=/b\nreserved-id=2",
     " max-clients 1 are fewer than the 2 listeners with reserved-id"),
    ("[region]\n[listener a]\nsocket=/a\nvectors=2",
     "2: listener a: vectors 2 are more than the region's 1"),
    ("[region]\n[listener a]\nsocket=/a\nmax-clients=0",
     "4: max-clients '0': not a number from 1 to 65536"),
    ("[region]\n[listener a]\nsocket=/a\nmax-accepts=0",
     "4: max-accepts '0': not a number from 1 to 1000000"),
    ("[region]\n[listener a]\nsocket=/a\nbacklog=65536",
     "4: backlog '65536': not a number from 1 to 65535"),
    ("[region]\n[listener a]\nsocket=/a\n[listener b]\nsocket=/a",
     "4: listener b: /a is the path of listener a of region web, too"),
    ("[region]\n[listener a]\nsocket={folder}/b\n[listener b]\nsocket=/{folder}/././/b",
     "4: listener b: {folder}/b is the path of listener a of region web, too"),
    ("[region]\n[listener a]\nsocket={folder}/a.lock\n[listener b]\nsocket={folder}/a",
     "2: listener a: {folder}/a.lock is the lock file of listener b of region web, too"),
    ("[region]\n[listener a]\nsocket={folder}/control.lock",
     "2: listener a: {folder}/control.lock is the control socket's lock file"),
    ("[region]\n[listener a]\nsocket={folder}/control",
     "2: listener a: {folder}/control is the control socket's path"),
]


@pytest.mark.parametrize(("text", "why"), WRONG, ids=[why[:60] for _, why in WRONG])
def test_wrong_one_is_named_with_its_place(configured, place, text, why):
    configured.write("web", text)
    said = lines(configured.check("--check-config"))
    wrong = [line for line in said if "on this machine" not in line]
    assert len(wrong) == 1 and wrong[0].startswith(f"{configured.folder}/web.conf:")
    assert why.format(folder=place.folder) in wrong[0]
    # It does not start either, and says the same.
    assert lines(configured.check("-F")) == said
    assert [path.name for path in place.folder.iterdir()] == ["conf"]


def test_everything_that_is_wrong_is_said(configured):
    configured.write("a", "[region]\nsize=x\nvectors=x\n[listener l]\n")
    configured.write("b", "nonsense\n[region]\nshm-name=s\n")
    configured.write("c", "[region]\nshm-name=/s\n[listener l]\nsocket=/l")
    configured.write("d", "[region]\n[listener m]\nsocket=/l")
    said = lines(configured.check("--check-config"))
    assert [line.replace(str(configured.folder), "") for line in said] == [
        "/a.conf:2: size 'x': not a size: digits, then nothing, K, M, G or T",
        "/a.conf:3: vectors 'x': not a number from 1 to 2048",
        "/a.conf:4: listener l: socket or libvirt-name is missing",
        "/b.conf:1: neither a section nor KEY = VALUE",
        "/d.conf:2: listener m: /l is the path of listener l of region c, too",
        "/c.conf: shm-name /s is that of region b, too",
    ]


def test_places_that_are_none(configured):
    assert lines(configured.check("--check-config", path="/no/such")) == \
        ["cannot read the configuration '/no/such': No such file or directory"]
    (configured.folder / "loop.conf").symlink_to("loop.conf")
    assert lines(configured.check("--check-config")) == [
        f"cannot read the configuration '{configured.folder}/loop.conf': "
        "Too many levels of symbolic links"]
    (configured.folder / "loop.conf").unlink()
    (configured.folder / "sub.conf").mkdir()
    assert lines(configured.check("--check-config")) == [f"{configured.folder}/sub.conf: is a folder"]
    shutil.rmtree(configured.folder / "sub.conf")
    assert configured.check("--check-config").returncode == 0
    bad = configured.folder / "a b.conf"
    bad.write_text("[region]")
    assert "the region cannot be called so" in lines(configured.check("--check-config"))[0]


@pytest.mark.parametrize("option", ["--size=1M", "--socket=/x", "--shm-name=x", "--memfd",
                                    "--vectors=1", "--allow-user=0", "--max-clients=1",
                                    "--show-attach"])
def test_options_of_a_region_are_in_conflict_with_a_configuration(configured, option):
    name = option.partition("=")[0]
    assert lines(configured.check(option)) == \
        [f"{name} cannot be used with --config: it stands in each region's file (see --help)"]


def test_path_may_be_a_word_of_its_own(configured):
    configured.write("web", "[region]\nsize=x")
    done = subprocess.run([server_program(), "--check-config", "--config", configured.folder],
                          capture_output=True, text=True, timeout=20, check=False)
    assert "web.conf:2: size 'x'" in done.stderr


def test_hundred_regions_start_in_a_second(configured, place):
    for i in range(100):
        configured.write(f"r{i:03}", f"[region]\nsize=64K\n[listener l]\nsocket={{folder}}/s{i}")
    server = configured.start()
    control = configured.connect()
    assert len(control.ask("query-regions")) == 100
    shares = {region["max-clients"] for region in control.ask("query-regions")}
    assert len(shares) == 1 and shares.pop() >= 1
    for i in range(100):
        configured.peer(f"s{i}")
    assert control.ask("query-status")["clients"] == 100
    assert server.stop() == 0


def test_regions_that_need_more_descriptors_than_there_are(configured, place):
    configured.write("a", "[region]\nmax-clients = 1000")
    configured.write("b", "[region]\nvectors = 4\nmax-clients = 1000")
    server = configured.start
    with pytest.raises(AssertionError, match="region b: 1000 clients with 4 vectors need more"):
        server(nofile=4096)
    assert not (place.folder / "a.observers").exists()


def test_start_that_fails_names_the_region(configured):
    configured.write("a", "[region]\nsize=64K").write(
        "b", "[region]\nsize=64K\n[listener l]\nsocket={folder}/none/l")
    with pytest.raises(AssertionError, match="ivshmem-server: region b: cannot listen at .*/none/l: "):
        configured.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_libvirt_finds_its_socket_at_both_paths(configured, stack):
    name = f"test-{os.getpid()}"
    path = f"/var/lib/libvirt/shmem-{name}-sock"
    documented = f"/var/lib/libvirt/shmem/shmem-{name}-sock"
    if not os.path.isdir("/var/lib/libvirt"):
        os.mkdir("/var/lib/libvirt")
        stack.callback(shutil.rmtree, "/var/lib/libvirt")
    stack.callback(lambda: os.path.exists(path + ".lock") and os.unlink(path + ".lock"))
    configured.write("web", f"[region]\n[listener vm]\nlibvirt-name={name}\nowner=12345\nmode=0600")
    server = configured.start()
    assert (os.stat(path).st_uid, stat.S_IMODE(os.stat(path).st_mode)) == (12345, 0o600)
    for each in [path, documented]:
        with Peer(each, 1) as peer:
            peer.setup()
    assert server.stop() == 0
    assert not os.path.lexists(path) and not os.path.lexists(documented)


def test_folder_of_the_sockets_belongs_to_the_user_only_if_it_was_made_for_him(configured, place,
                                                                                unprivileged):
    """It may be /run or /tmp otherwise."""
    user = ["--user", f"{unprivileged}:{unprivileged}"]
    place.folder.chmod(0o1777)
    configured.write("web", "[region]\n").start(*user).stop()
    assert place.folder.stat().st_uid == os.geteuid()
    configured.control = place.folder / "made" / "control"
    configured.start(*user).stop()
    made = configured.control.parent
    assert made.stat().st_uid == unprivileged
    assert {path.suffix for path in made.iterdir()} == {".lock"}
