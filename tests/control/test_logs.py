# SPDX-License-Identifier: MIT
"""What is logged: which region it is of, not too much of one kind, and fields in the journal."""

import json
import os
import re
import socket
import subprocess
import sys

import pytest
from place import can_mount
from serve import TREE, build_folder, eventually, server_program

LINES = 20  # of one cause, in ten seconds


def refuse(path, times):
    for _ in range(times):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            assert peer.recv(1) == b""


def test_warnings_name_the_region_and_are_few_of_each_kind(configured, place):
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a\nallow-user=12345")
    configured.write("db", "[region]\n[listener a]\nsocket={folder}/b\nallow-user=12345")
    server = configured.start()
    refuse(place.folder / "a", 50)
    refuse(place.folder / "b", 3)
    control = configured.connect()
    assert [row["refusals"]["policy"] for row in control.ask("query-stats")] == [3, 50]
    lines = server.errors().splitlines()
    for region, n in [("web", LINES), ("db", 3)]:
        begin = f"ivshmem-server: {region}: client refused ("
        named = [line for line in lines if line.startswith(begin) and ") at a: it is not" in line]
        assert len(named) == n
    assert len(lines) == LINES + 3


def test_limit_that_nobody_has_asked_for_is_that_of_descriptors(configured, place):
    configured.write("web", "[region]\nvectors=64\n[listener a]\nsocket={folder}/a")
    configured.write("db", "[region]\nmax-clients=1\n[listener b]\nsocket={folder}/b")
    server = configured.start(nofile=350)
    configured.peer("b")
    configured.peer("a", 64)

    def lines():
        return [line for line in server.errors().splitlines() if "is reached by pid" in line]

    eventually(lambda: len(lines()) == 2, what="both limits")
    assert lines()[0].startswith("ivshmem-server: db: the limit of 1 client (max_clients) is reached")
    assert re.match(r"ivshmem-server: web: the limit of 1 client \(from RLIMIT_NOFILE\)", lines()[1])


# A journal of its own, in a mount namespace: a socket where libsystemd looks for it, and a socket for
# standard error that JOURNAL_STREAM names.
JOURNAL = """
import json, os, select, socket, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
stream, error = socket.socketpair()
status = os.fstat(error.fileno())
environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
server = subprocess.Popen(sys.argv[2:], stderr=error, env=environment)
control = sys.argv[-1]
entries = []
deadline = time.monotonic() + 10
def take():
    while select.select([journal], [], [], 0.01)[0]:
        entries.append(dict(line.split("=", 1) for line in journal.recv(65536).decode().splitlines()))
while not os.path.exists(control) and time.monotonic() < deadline:
    take()
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(os.path.dirname(control) + "/a")
    assert peer.recv(1) == b""
take()
server.terminate()
assert server.wait(10) == 0
error.close()
assert stream.recv(1000) == b""
print(json.dumps(entries))
"""


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace")
def test_journal_has_fields(configured):
    if "HAVE_SYSTEMD" not in (build_folder() / "compile_commands.json").read_text(encoding="utf-8"):
        pytest.skip("built without libsystemd")
    configured.write("web", "[region]\n[listener a]\nsocket={folder}/a\nallow-user=12345")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", JOURNAL, TREE / "tests/lib", server_program(), "-F",
         f"--config={configured.folder}", "--control", configured.control],
        capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    first, refused = json.loads(done.stdout.splitlines()[-1])
    assert re.fullmatch(r"ivshmem-server \S+ starts", first["MESSAGE"])
    assert first["SYSLOG_IDENTIFIER"] == "ivshmem-server" and first["PRIORITY"] == "6"
    assert refused["MESSAGE"].startswith("client refused (") and refused["PRIORITY"] == "4"
    assert refused["IVSHMEM_REGION"] == "web" and str(os.getuid()) in refused["MESSAGE"]


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace")
def test_without_the_journal_there_is_standard_error(configured, tmp_path):
    """JOURNAL_STREAM is inherited by what has a root folder or a container of its own."""
    configured.write("web", "[region]\nsize=x")
    with (tmp_path / "error").open("w+") as error:
        found = os.fstat(error.fileno())
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh",
             server_program(), "--check-config", f"--config={configured.folder}"],
            env={**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"},
            stderr=error, timeout=20, check=False)
        error.seek(0)
        said = error.read()
    assert done.returncode == 1
    assert "web.conf:2: size 'x'" in said
