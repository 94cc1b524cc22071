# SPDX-License-Identifier: MIT
"""The command line: QEMU's short options, their long forms, and that the last one wins."""

import os
import re
import signal
import stat
import subprocess

import pytest
from peer import Peer, settle
from place import can_mount, end
from serve import eventually, offers, server_program

K64 = 64 << 10


def program(*arguments):
    return subprocess.run([server_program(), *arguments], capture_output=True, text=True, timeout=10,
                          check=False)


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["-F", "-n", "2", "-h", "-x"]], ids=str)
def test_help(arguments):
    done = program(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"usage: ", done.stdout, re.IGNORECASE)
    for letter in "hvFpSmMln":
        assert re.search(rf"^ +-{letter}\b", done.stdout, re.MULTILINE)


def test_version():
    done = program("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"ivshmem-server \d+\.\d+\.\d+\n", done.stdout)


FORMS = {
    "S": ("-S{}", "--socket={}"),
    "M": ("-M{}", "--shm-name={}"),
    "m": ("-m{}", "--shm-dir={}"),
    "l": ("-l{}", "--size={}"),
    "n": ("-n{}", "--vectors={}"),
}


def given(option, value):
    """All ways to give an option its value."""
    short, long = FORMS[option]
    return [[short.format(value)], [f"-{option}", str(value)], [long.format(value)],
            long.format(value).split("=")]


@pytest.mark.parametrize("form", range(4))
def test_socket(place, form):
    other = place.folder / "other"
    place.socket = other
    place.server(*given("S", other)[form])
    assert stat.S_ISSOCK(other.lstat().st_mode)
    place.peer()


@pytest.mark.parametrize("form", range(4))
@pytest.mark.parametrize("slash", ["", "/"])
def test_object(place, form, slash):
    place.server(*given("M", f"{slash}{place.name}-2")[form])
    memory = place.peer().memory
    assert os.path.samestat(os.fstat(memory), place.object(f"{place.name}-2").stat())
    assert not place.object().exists()


@pytest.mark.parametrize("form", range(4))
def test_directory(place, form):
    inner = place.folder / "dir"
    inner.mkdir()
    place.server(*given("m", inner)[form])
    memory = os.fstat(place.peer().memory)
    assert (memory.st_dev, memory.st_size) == (inner.stat().st_dev, K64)
    assert memory.st_nlink == 0 and not list(inner.iterdir()), "a name is left in the directory"
    assert not place.object().exists()


@pytest.mark.parametrize("form", range(4))
def test_size(place, form):
    place.server(*given("l", "128k")[form])
    assert os.fstat(place.peer().memory).st_size == 128 << 10


@pytest.mark.parametrize("form", range(4))
def test_vectors(place, form):
    place.server(*given("n", 3)[form])
    peers = [place.peer(3), place.peer(3)]
    settle(peers)


@pytest.mark.parametrize("form", [["-p", "{}"], ["-p{}"], ["--pidfile", "{}"], ["--pidfile={}"]], ids=str)
def test_pidfile(place, form):
    place.pidfile = place.folder / "other"
    pid = place.daemon(*[word.format(place.pidfile) for word in form])
    assert place.pidfile.read_text(encoding="ascii") == f"{pid}\n"


def test_long_forms_of_flags(place):
    with subprocess.Popen([*place.arguments("--foreground", "--verbose", foreground=False)],
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            eventually(place.socket.exists)
            assert process.poll() is None and not place.pidfile.exists()
        finally:
            process.terminate()
        lines = process.communicate(timeout=10)[0]
    assert process.returncode == 0
    assert "close server" in lines


@pytest.mark.parametrize(
    ("words", "size", "n_vectors"),
    [
        (["-l", "4K", "-l8K", "--size=16K"], 16 << 10, 1),
        (["--size=16K", "-l4K"], 4 << 10, 1),
        (["-n", "7", "--vectors", "2"], K64, 2),
        (["-n", "2048", "-n", "1"], K64, 1),
        (["-S", "/nonexistent/x", "-S", "{socket}"], K64, 1),
        (["-M", "nonexistent/x", "-M", "{name}"], K64, 1),
        (["-m", "/nonexistent", "-M", "{name}"], K64, 1),
        (["-F", "-F"], K64, 1),
    ],
    ids=str,
)
def test_last_one_wins(place, words, size, n_vectors):
    place.server(*[word.format(socket=place.socket, name=place.name) for word in words])
    assert os.fstat(place.peer(n_vectors).memory).st_size == size
    assert place.object().exists()


def test_last_kind_of_memory_wins(place):
    place.server("-M", place.name, "-m", place.folder)
    assert not place.object().exists()
    place.peer()


SIZES = [("1", 4096), ("4096", 4096), ("4K", 4096), ("4k", 4096), ("5000", 8192), ("3M", 4 << 20),
         ("1m", 1 << 20), ("1025K", 2 << 20), ("007K", 8192), ("1G", 1 << 30)]


@pytest.mark.parametrize(("text", "size"), SIZES)
@pytest.mark.parametrize("memory", [[], ["--memfd"]], ids=["object", "memfd"])
def test_sizes_are_rounded_up_to_a_power_of_two_which_is_said(place, text, size, memory):
    if size >= 1 << 30 and os.sysconf("SC_AVPHYS_PAGES") * 4096 < 3 * size:
        pytest.skip("too little memory is free")
    server = place.server("-l", text, *memory)
    assert os.fstat(place.peer().memory).st_size == size
    number = int(re.match(r"\d+", text).group())
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text[-1].lower(), 1)
    said = server.errors().splitlines()
    assert len(said) == (number * factor != size)
    assert all("rounded up to" in line for line in said)


def test_verbose_lines_of_qemus_server(place):
    """Scripts look for them."""
    server = place.server("-v")
    one, two = place.peer(), place.peer()
    assert (one.id, two.id) == (0, 1)
    two.close()
    one.until_gone(1)
    one.close()
    eventually(lambda: "free peer 0" in server.printed())
    assert server.stop() == 0
    lines = server.printed().splitlines()
    assert lines[-1] == "server disconnected"
    wanted = [f"Using POSIX shared memory: {place.name}", f"create & bind socket {place.socket}",
              r"accept\(\)=\d+", "new peer id = 0", r"accept\(\)=\d+", "new peer id = 1",
              "free peer 1", "free peer 0", "close server", "server disconnected"]
    rest = iter(lines)
    for pattern in wanted:
        assert any(re.fullmatch(pattern, line) for line in rest), f"{pattern}, in order, in {lines}"


def test_quiet_without_verbose(place):
    server = place.server()
    place.peer().close()
    assert server.stop() == 0
    assert server.printed() == "server disconnected\n" and server.errors() == ""


@pytest.mark.skipif(not offers("--show-attach"), reason="a server without it")
def test_show_attach_names_what_is_served(place):
    server = place.server("--show-attach", "-n", "3")
    shown = eventually(server.printed)
    assert f"-chardev socket,path={place.socket},id=" in shown
    assert "-device ivshmem-doorbell,chardev=ivshmem,vectors=3" in shown
    assert f"<server path='{place.socket}'/>" in shown


# The defaults, in a mount namespace of their own.

SCRIPT = """set -e
exec 9<"$1"
for folder in /tmp /dev/shm /run; do mount -t tmpfs none $folder; done
cp /proc/self/fd/9 /tmp/server
chmod +x /tmp/server
exec 9<&-
cd /
status=0
/tmp/server >/tmp/out 2>&1 || status=$?
echo $status
read -r line
"""


@pytest.mark.skipif(not can_mount(), reason="no mount namespace of our own")
def test_defaults(place, stack):
    shell = stack.enter_context(subprocess.Popen(
        ["unshare", "-m", "sh", "-c", SCRIPT, "sh", place.program], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True))
    stack.callback(shell.stdin.close)
    assert shell.stdout.readline() == "0\n"
    root = f"/proc/{shell.pid}/root"
    place.pidfile = place.folder / "pid"
    with open(f"{root}/run/ivshmem-server.pid", encoding="ascii") as pidfile:
        place.pidfile.write_text(pidfile.read(), encoding="ascii")
    pid = place.daemon_pid()
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    peer = stack.enter_context(Peer(f"{root}/tmp/ivshmem_socket", 1)).setup()
    settle([peer])
    memory = os.stat(f"{root}/dev/shm/ivshmem")
    assert (memory.st_size, stat.S_IMODE(memory.st_mode)) == (4 << 20, 0o700)
    assert os.path.samestat(memory, os.fstat(peer.memory))
    assert sorted(os.listdir(f"{root}/tmp")) == ["ivshmem_socket", "ivshmem_socket.lock", "out",
                                                "server"]
    assert end(pid, signal.SIGTERM) == 0
    assert sorted(os.listdir(f"{root}/tmp")) == ["ivshmem_socket.lock", "out", "server"]
    assert not os.listdir(f"{root}/dev/shm") and not os.listdir(f"{root}/run")
    assert os.stat(f"{root}/tmp/out").st_size == 0
