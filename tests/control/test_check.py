# SPDX-License-Identifier: MIT
"""--check-config: it says everything that is wrong, also with this machine, and what it passes starts."""

import os
import pathlib
import re
import socket
import subprocess

import pytest
from place import forget_locks
from serve import server_program

HERE = ": on this machine: "

pytestmark = pytest.mark.starts


def check(configured, *more, **options):
    """Its status, and its lines without the folders that tests have."""
    before = snapshot(configured.place.folder)
    done = configured.check("--check-config", *more, **options)
    assert done.stdout == "" and snapshot(configured.place.folder) == before
    prefix = "ivshmem-server: "
    assert all(line.startswith(prefix) for line in done.stderr.splitlines())
    said = [line[len(prefix):].replace(f"{configured.folder}/", "").replace(str(configured.place.folder), "/F")
            for line in done.stderr.splitlines()]
    return done.returncode, said


def snapshot(folder):
    """All that is there, and when it changed."""
    return {path: (path.lstat().st_ino, path.lstat().st_mode, path.lstat().st_mtime_ns)
            for path in [folder, *folder.rglob("*")]}


def starts(configured):
    """Whether a server does."""
    try:
        server = configured.start()
    except AssertionError:
        return False
    assert server.stop() == 0
    return True


# Sections that are wrong

@pytest.mark.parametrize(("text", "said"), [
    ("[regoin]\nsize=x\nnope=1\nmode=8\nvectors=0",
     ["1: there is no section [regoin]; there are [region] and [listener NAME]",
      "2: size 'x'", "3: there is no key 'nope' in any section", "4: mode '8'", "5: vectors '0'",
      " there is no section [region]"]),
    ("[region]\nsize=x\n[region]\nvectors=x\nnope=1\nids=0",
     ["2: size 'x'", "3: section [region] comes a second time", "4: vectors 'x'",
      "5: there is no key 'nope' in this section", "6: ids '0'"]),
    ("[region]\n[listener a]\nsocket=/a\n[listener a]\nmode=8\nsize=1M\nsocket=b\nmode=7",
     ["4: section [listener a] comes a second time", "5: mode '8'",
      "6: there is no key 'size' in this section", "7: socket 'b'",
      "8: mode comes a second time in its section"]),
    ("[region]\n[listener a/b]\nmode=8\nsize=1M",
     ["2: section [listener a/b]", "3: mode '8'", "4: there is no key 'size' in this section"]),
    ("[region]\n[listener]\nmode=8\nread-only=1",
     ["2: there is no section [listener]", "3: mode '8'", "4: read-only '1'"]),
    ("vectors=x\nnope=1\n[region]",
     ["1: vectors stands before any section", "1: vectors 'x'", "2: nope stands before any section",
      "2: there is no key 'nope' in any section"]),
    ("[region\nsize=x\n[listener a]\nsocket=b",
     ["1: a section is [region] or [listener NAME], alone on its line", "2: size 'x'", "4: socket 'b'"]),
    # what is wrong with one key does not hide what is wrong with others, nor make more of it
    ("[region]\nvectors=x\nids=x\nmax-clients=x\n[listener a]\nvectors=8\nreserved-id=7\nsocket=\n"
     "[listener b]\nreserved-id=x\nmax-clients=2\nmode=8",
     ["2: vectors 'x'", "3: ids 'x'", "4: max-clients 'x'", "8: socket: the value is missing",
      "10: reserved-id 'x'", "12: mode '8'", "9: listener b: socket or libvirt-name is missing"]),
], ids=lambda value: value.partition("\n")[0] if isinstance(value, str) else "")
def test_keys_of_wrong_sections_are_looked_at(configured, text, said):
    configured.write("web", text)
    status, found = check(configured)
    found = [line for line in found if HERE not in line]
    assert status == 1 and len(found) == len(said), found
    assert all(line.startswith(f"web.conf:{start}") for line, start in zip(found, said)), found


def test_folder_without_files_is_said(configured):
    """A server starts with it, and waits for commands and reloads."""
    note = f"{configured.folder}: there is no file *.conf, and so no region\n"
    (configured.folder / "web.conf.old").write_text("[region]\n")
    done = configured.check("--check-config")
    assert (done.returncode, done.stdout, done.stderr) == (0, note, "")
    server = configured.start("--no-keeper")
    assert configured.connect().ask("query-regions") == []
    assert server.stop() == 0
    done = configured.check("--check-config", "--control", configured.place.folder / "none/none/control")
    assert (done.returncode, done.stdout) == (2, note) and "No such file" in done.stderr
    with open("/dev/full", "wb") as full:
        done = subprocess.run([server_program(), f"--config={configured.folder}", "--check-config",
                               "--control", configured.control],
                              stdout=full, stderr=subprocess.PIPE, timeout=20, check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr
    configured.write("web", "[region]")
    assert check(configured) == (0, [])


def test_hundreds_of_problems_are_counted(configured):
    configured.write("web", "[region]\n" + "nope=1\n" * 300)
    status, said = check(configured)
    assert status == 1 and len(said) == 201 and said[-1] == "100 more"


# Every key

KEYS = {
    "region": {
        "size": ["1", "64K", "3M", "0", "-1", "x", "1Q", "4194304T", "4194305T", "99999999999999999999"],
        "vectors": ["1", "3", "0", "2048", "2049", "1.5"],
        "shm-name": ["{name}", "/{name}", "//{name}", "a/b", "/", "x" * 170],
        "shm-dir": ["{folder}", "{folder}/none", "/proc", "{folder}/conf/web.conf", "x", "/dev/shm"],
        "hugepages": ["4K", "2M", "1G", "3M", "0", "x", "16T", "1"],
        "no-reserve": ["yes", "no", "true", "1"],
        "max-clients": ["1", "65536", "65537", "0", "x"],
        "max-clients-per-user": ["1", "65536", "65537", "0", "x"],
        "setup-timeout": ["1", "86400000", "86400001", "0", "x"],
        "ids": ["1", "65535", "65536", "65537", "0", "x"],
    },
    "listener": {
        "socket": ["{folder}/l", "{folder}/./l", "{folder}/none/l", "{folder}/conf", "{folder}", "l", "/",
                   "{folder}/control", "{folder}/control.lock", "{folder}/web.observers",
                   "{folder}/" + "x" * 60, "{folder}/" + "x" * 120, "{folder}/l/"],
        "libvirt-name": ["a/b", ".a", "x" * 63, "x" * 64],
        "mode": ["0", "777", "1000", "8", "rw"],
        "owner": ["0", "root", "12345", "no-such", "-1", "4294967294", "4294967295"],
        "group": ["0", "root", "12345", "no-such", "-1", "4294967295"],
        "allow-user": ["0 root,1", "no-such", ",", "1 " * 64, "1 " * 65],
        "allow-group": ["0 root,1", "no-such", ",", "1 " * 64, "1 " * 65],
        "read-only-user": ["0 root,1", "no-such", ",", "1 " * 64, "1 " * 65],
        "read-only": ["yes", "no", "maybe"],
        "observers": ["yes", "no", "maybe"],
        "reserved-id": ["0", "7", "65534", "65535", "65536", "-1", "x"],
        "vectors": ["1", "2", "2049", "0"],
        "max-clients": ["1", "2", "65537", "0"],
        "max-accepts": ["1", "1000001", "0"],
        "backlog": ["1", "65535", "65536", "0"],
    },
}
TEXTS = {"region": "[region]\n{}={}\n[listener a]\nsocket={{folder}}/a",
         "listener": "[region]\n[listener l]\n{}={}"}


def test_every_key_is_in_the_table(configured):
    configured.write("web", "[region]").start()
    commands = {row["name"]: {argument["name"] for argument in row["arguments"]}
                for row in configured.connect().ask("query-commands")}
    assert set(KEYS["region"]) == commands["region-add"] - {"region"}
    assert set(KEYS["listener"]) == commands["listener-add"] - {"region", "name"}


def agree(configured, text):
    """A server starts with what is passed, and with nothing else. Gives the status of the check."""
    configured.write("web", text)
    status, said = check(configured)
    assert (status == 0) == (not said), said
    assert status == (1 if any(HERE not in line for line in said) else 2 if said else 0), said
    assert starts(configured) == (status == 0), (text, said)
    return status


@pytest.mark.parametrize(("section", "key"), [(section, key) for section in KEYS for key in KEYS[section]])
def test_start_and_check_agree(configured, place, stack, section, key):
    forget_locks(stack, ["/", place.folder])
    statuses = []
    for value in [*KEYS[section][key], "", " "]:
        text = TEXTS[section].format(key, value.replace("{name}", place.name))
        if section == "listener" and key not in ["socket", "libvirt-name"]:
            text += "\nsocket={folder}/l"
        statuses.append(agree(configured, text))
    assert 1 in statuses
    doubled = TEXTS[section].format(key, f"{KEYS[section][key][0]}\n{key}={KEYS[section][key][0]}")
    agree(configured, doubled.replace("{name}", place.name))


# Pairs that are in conflict, or could be thought to be

@pytest.mark.parametrize(("text", "status"), [
    ("[region]\nvectors=2\n[listener a]\nsocket={folder}/a\nvectors=3", 1),
    ("[region]\nids=8\n[listener a]\nsocket={folder}/a\nreserved-id=7", 0),
    ("[region]\nids=1\n[listener a]\nsocket={folder}/a\nreserved-id=0\n[listener b]\nsocket={folder}/b", 0),
    ("[region]\nmax-clients=2\n[listener a]\nsocket={folder}/a\nreserved-id=0\n"
     "[listener b]\nsocket={folder}/b\nreserved-id=1", 0),
    ("[region]\nmax-clients=1\n[listener a]\nsocket={folder}/a\nmax-clients=9", 0),
    ("[region]\nshm-name=a\nhugepages=2M", 1),
    ("[region]\nsize=1M\nhugepages=4M", 2),
    ("[region]\n[listener observers]\nsocket={folder}/o\nread-only=yes", 0),
    ("[region]\n[listener observers]\nreserved-id=1", 1),
    ("[region]\n[listener a]\nsocket={folder}/web.observers\n[listener observers]\nsocket={folder}/o", 0),
    ("[region]\n[listener a]\nsocket={folder}/a\nobservers=yes\nmax-clients=1\nread-only=yes", 0),
    ("[region]\n[listener a]\nsocket={folder}/a\nlibvirt-name=a", 1),
    ("[region]\n[listener a]\nsocket={folder}/a.lock\n[listener b]\nsocket={folder}/a", 1),
    ("[region]\n[listener a]\nsocket={folder}/a.lock", 0),
    ("[region]\n[listener a]\nsocket={folder}/../{base}/a\n[listener b]\nsocket={folder}/a", 2),
], ids=str)
def test_start_and_check_agree_on_pairs(configured, place, text, status):
    assert agree(configured, text.replace("{base}", place.folder.name)) == status


def test_start_and_check_agree_on_regions(configured, place):
    text = "[region]\nshm-name={}\nsize=64K\n[listener a]\nsocket={{folder}}/{}"
    configured.write("db", text.format(place.name, "a"))
    assert agree(configured, text.format(f"/{place.name}", "b")) == 1
    assert agree(configured, text.format(f"{place.name}-2", "a")) == 1
    assert agree(configured, text.format(f"{place.name}-2", "db.observers")) == 1
    assert agree(configured, text.format(f"{place.name}-2", "a.lock")) == 1
    assert agree(configured, text.format(f"{place.name}-2", "b")) == 0


# What this machine lacks

def only(configured, said, *more, **options):
    """It says this alone, and a server does not start."""
    status, found = check(configured, *more, **options)
    assert status == 2 and len(found) == 1 and re.fullmatch(said, found[0]), found


def available():
    return int(re.search(r"MemAvailable: +(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) << 10


def test_names_that_are_unknown(configured):
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a\nowner=no-such\ngroup=no-such\n"
                            "allow-user=0 no-such\nallow-group=no-such\nread-only-user=no-such")
    status, said = check(configured)
    assert status == 2 and said == [
        "web.conf:4: on this machine: owner 'no-such': no such user",
        "web.conf:5: on this machine: group 'no-such': no such group",
        "web.conf:6: on this machine: allow-user '0 no-such': no-such: no such user",
        "web.conf:7: on this machine: allow-group 'no-such': no-such: no such group",
        "web.conf:8: on this machine: read-only-user 'no-such': no-such: no such user"]
    done = configured.check("-F")
    assert done.returncode == 1 and done.stderr.count(HERE) == 5
    configured.write("db", "[region]\nnope=1")
    assert check(configured)[0] == 1, "what is wrong anywhere counts for more"


def test_pages_that_there_are_not(configured):
    configured.write("web", "[region]\nhugepages=4K")
    only(configured, "web.conf: on this machine: cannot make a memfd with huge pages of that size: .*")


def test_memory_that_there_is_not(configured):
    configured.write("web", "[region]\nsize=4194304T")
    only(configured, "web.conf: on this machine: no room for the memfd: 4194304T of shared memory wanted, "
                     r"\d+M available")
    configured.write("web", "[region]\nsize=4194304T\nno-reserve=yes")
    assert check(configured)[0] == 2 and not starts(configured)


def test_memory_is_for_all_regions_together(configured):
    """Each of them would fit, and not all: a part is a half of what there is at most, and a quarter at least.
    What is not reserved takes nothing."""
    part = 1 << (available().bit_length() - 2)
    names = "abcdef"
    for name in names:
        configured.write(name, f"[region]\nsize={part}")
    status, said = check(configured)
    assert status == 2 and 1 <= len(said) < len(names)
    assert said[-1].startswith("f.conf: on this machine: no room for the memfd: ")
    assert re.search(r" available, of which other regions take \d+M$", said[-1])
    for name in names:
        configured.write(name, f"[region]\nsize={part}\nno-reserve=yes")
    assert check(configured)[0] == 0


def test_shared_memory_object_of_another_size(configured, place, stack):
    place.make_object(4096)
    stack.callback(place.object().unlink)
    configured.write("web", f"[region]\nsize=64K\nshm-name={place.name}")
    only(configured, f"web.conf: on this machine: the shared memory object {place.name} exists with a size of "
                     ".*")
    assert place.object().stat().st_size == 4096 and not starts(configured)
    configured.write("web", f"[region]\nsize=4K\nshm-name={place.name}")
    assert agree(configured, f"[region]\nsize=4K\nshm-name={place.name}") == 0


@pytest.mark.parametrize(("path", "why"), [
    ("none/l", "cannot listen at /F/none/l: cannot open its lock file .*: No such file or directory"),
    ("file/l", "cannot listen at /F/file/l: cannot open its lock file .*: Not a directory"),
    ("file", "/F/file exists and is not a socket; it is left alone"),
    ("linked", "the lock file /F/linked.lock has a second name: it is not used"),
    ("folder", "cannot listen at /F/folder: cannot open its lock file /F/folder.lock: Is a directory"),
])
def test_paths_that_cannot_be_listened_at(configured, place, path, why):
    (place.folder / "file").write_text("")
    (place.folder / "linked.lock").write_text("")
    (place.folder / "second").hardlink_to(place.folder / "linked.lock")
    (place.folder / "folder.lock").mkdir()
    configured.write("web", f"[region]\n[listener l]\nsocket={{folder}}/{path}")
    only(configured, f"web.conf:2: listener l: on this machine: {why}")
    assert not starts(configured)


def test_folder_that_cannot_be_written(configured, place, unprivileged):
    """By the user who looks, and neither can anything be given away by him."""
    place.folder.chmod(0o755)
    configured.write("web", "[region]\n[listener l]\nsocket={folder}/l\nowner=0\ngroup=0")
    status, said = check(configured, user=unprivileged, group=unprivileged, extra_groups=[])
    assert status == 2 and [line.partition(HERE)[0] for line in said] == [
        "the control socket", "web.conf:2: listener l", "web.conf:2: listener l", "web.conf:2: listener l",
        "web.conf: listener observers"]
    assert sum("Permission denied" in line for line in said) == 3
    assert sum(f"by user {unprivileged}" in line for line in said) == 2


def test_folder_of_the_control_socket(configured, place):
    """It is made by a start, its parent is not."""
    configured.write("web", "[region]")
    assert check(configured, "--control", f"{place.folder}/new/control")[0] == 0
    status, said = check(configured, "--control", f"{place.folder}/none/new/control")
    assert status == 2 and said[0] == ("/F/none/new/control: on this machine: cannot make the folder "
                                       "/F/none/new: No such file or directory")


def test_path_of_the_control_socket_is_too_long(configured, place):
    configured.write("web", "[region]")
    path = f"{place.folder}/" + "x" * 90
    status, said = check(configured, "--control", path)
    assert status == 2 and said == [f"the control socket: on this machine: the socket path /F/{'x' * 90} has "
                                    f"{len(path)} bytes; at most 107 are possible"]


def test_descriptors(configured):
    configured.write("a", "[region]\nmax-clients = 1000").write("b", "[region]\nvectors=4\nmax-clients=1000")
    limit = ["prlimit", "--nofile=4096:4096"]
    done = subprocess.run([*limit, server_program(), "--check-config", f"--config={configured.folder}",
                           "--control", configured.control], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch("ivshmem-server: .*: on this machine: region b: 1000 clients with 4 vectors need more .*\n",
                        done.stderr)
    (configured.folder / "a.conf").unlink()
    text = "".join(f"[listener l{i}]\nsocket={{folder}}/l{i}\nreserved-id={i}\n" for i in range(40))
    configured.write("b", "[region]\nvectors=64\n" + text)
    done = subprocess.run([*limit[:1], "--nofile=2048:2048", server_program(), "--check-config",
                           f"--config={configured.folder}", "--control", configured.control],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "the 40 listeners with reserved-id are more than the" in done.stderr


def test_socket_that_somebody_listens_at(configured, place):
    """It is not connected to, which he would notice."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place.folder / "l"))
        other.listen(1)
        other.setblocking(False)
        configured.write("web", "[region]\n[listener l]\nsocket={folder}/l")
        only(configured, "web.conf:2: listener l: on this machine: another server listens at /F/l")
        assert not starts(configured)
    assert agree(configured, "[region]\n[listener l]\nsocket={folder}/l") == 0, "a dead one's is replaced"


def test_configuration_of_a_server_that_runs(configured, place):
    """Its own sockets and memory are not in the way; what is new is looked at."""
    size = 1 << (available().bit_length() - 4)
    configured.write("web", f"[region]\nsize={size}\n[listener l]\nsocket={{folder}}/l").start()
    control = configured.connect()
    assert check(configured) == (0, [])
    assert control.ask("query-stats")[0]["joins"] == 0
    (place.folder / "file").write_text("")
    configured.write("db", "[region]\nsize=4194304T\n[listener a]\nsocket={folder}/file")
    status, said = check(configured)
    assert status == 2 and [line.partition(HERE)[0] for line in said] == ["db.conf", "db.conf:3: listener a"]


def test_links_between_folders(configured, place):
    (place.folder / "same").symlink_to(place.folder)
    text = "[region]\n[listener a]\nsocket={folder}/l\n[listener b]\nsocket={folder}/same/l"
    configured.write("web", text)
    only(configured, "web.conf:4: listener b: on this machine: /F/same/l and /F/l, of listener a of region web, "
                     "are one")
    assert not starts(configured)


def test_of_all_options_only_those_that_matter(configured):
    """The pidfile of a daemon that runs is not looked at."""
    configured.write("web", "[region]")
    assert check(configured, "--pidfile", "/no/such/pid") == (0, [])


@pytest.mark.parametrize(("keys", "used"), [
    ("group={group}", True), ("group={group}\nread-only=yes", False), ("", False)], ids=str)
def test_object_that_a_group_can_write(configured, stack, keys, used):
    """It is used if a socket lets that group in to write."""
    path = configured.place.object()
    stack.callback(path.unlink)
    path.write_bytes(bytes(64 << 10))
    path.chmod(0o660)
    os.chown(path, -1, os.getegid())
    configured.write("web", f"[region]\nsize=64K\nshm-name={path.name}\n[listener a]\n"
                     f"socket={{folder}}/a\n{keys.format(group=os.getegid())}\n")
    refused = (f"web.conf{HERE}the shared memory object {path.name} exists and can be written by its "
               "group: it is not used")
    assert check(configured) == ((0, []) if used else (2, [refused]))
    assert starts(configured) == used
