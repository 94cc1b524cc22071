# SPDX-License-Identifier: MIT
"""QEMU's own tools for QMP talk to the control socket. Debian has them in no package but in QEMU's
source, which is fetched into the build folder, and is not part of this tree: its licence is another."""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import tempfile

import pytest
from image import run
from serve import build_folder

pytestmark = pytest.mark.long

WANTED = re.compile(r"[^/]+/((python/qemu|scripts/qmp)/.*)")
SOURCES = "deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)"
OF_DEBIAN = ["Created-By: Packages", "Origin: Debian"]

LIBRARY = """
import asyncio, json, socket, sys
from qemu.qmp import EventListener, ExecuteError, QMPClient

async def main(control, peer):
    client, found = QMPClient(), {}
    with client.listener() as events:
        await client.connect(control)
        found["version"] = client.greeting.QMP.version
        with socket.socket(socket.AF_UNIX) as newcomer:
            newcomer.connect(peer)
            event = await asyncio.wait_for(events.get(), 10)
            found["came"] = [event["event"], event["data"]["id"]]
            answers = [client.execute("query-clients", {"region": "ivshmem"}) for _ in range(50)]
            answers = await asyncio.wait_for(asyncio.gather(*answers), 10)
            found["clients"] = [[row["id"] for row in answer["clients"]] for answer in answers]
            found["gone"] = await client.execute("client-disconnect", {"region": "ivshmem", "id": 0})
            found["left"] = (await asyncio.wait_for(events.get(), 10))["event"]
        try:
            await client.execute("client-disconnect", {"region": "ivshmem", "id": 7})
        except ExecuteError as error:
            found["error"] = [error.error_class, str(error)]
        await client.disconnect()
    print(json.dumps(found))

asyncio.run(main(*sys.argv[1:]))
"""

OLD_LIBRARY = """
import json, socket, sys
from qemu.qmp.legacy import QEMUMonitorProtocol

monitor = QEMUMonitorProtocol(sys.argv[1])
found = {"greeting": monitor.connect(), "version": monitor.command("query-version")}
with socket.socket(socket.AF_UNIX) as newcomer:
    newcomer.connect(sys.argv[2])
    found["event"] = monitor.pull_event(wait=10.0)["event"]
found["error"] = monitor.cmd("no-such")["error"]["class"]
monitor.close()
print(json.dumps(found))
"""


def fetch(folder):
    """Unpacks QEMU's tools from its newest source, by lists of apt's own for it: this machine's lists
    need not have sources, and are left alone."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        options = ["-q", "-o", "APT::Sandbox::User=root"]
        rows = run(["apt-get", "indextargets", "--format", SOURCES, *OF_DEBIAN])
        with open(f"{scratch}/sources.list", "w", encoding="utf-8") as listed:
            listed.write(rows)
        os.makedirs(f"{scratch}/lists/partial")
        for name, value in [("Dir::Etc::SourceList", f"{scratch}/sources.list"),
                            ("Dir::Etc::SourceParts", "/dev/null"),
                            ("Dir::State::Lists", f"{scratch}/lists"),
                            ("Dir::Cache::pkgcache", ""), ("Dir::Cache::srcpkgcache", "")]:
            options += ["-o", f"{name}={value}"]
        run(["apt-get", *options, "update"])
        run(["apt-get", *options, "--download-only", "source", "qemu"], cwd=scratch)
        (packed,) = [name for name in os.listdir(scratch) if ".orig.tar." in name]
        with tarfile.open(f"{scratch}/{packed}") as archive:
            for member in archive:
                found = WANTED.fullmatch(member.name)
                if found and member.isfile():
                    member.name = found[1]
                    archive.extract(member, f"{scratch}/tools")
        os.rename(f"{scratch}/tools", folder / "tools")


@pytest.fixture(name="tools", scope="module")
def fixture_tools():
    """A folder with python/ and scripts/ of QEMU's source."""
    folder = build_folder() / "qemu-source"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "tools").exists():
            fetch(folder)
    return folder / "tools"


@pytest.fixture(name="talk")
def fixture_talk(tools, place):
    """Runs a program of Python with QEMU's library to its end; gives what it has printed."""

    def talk(*words, said=""):
        done = subprocess.run(
            [sys.executable, *map(str, words)], input=said, capture_output=True, text=True, timeout=60,
            check=False, cwd=place.folder,
            env=os.environ | {"PYTHONPATH": str(tools / "python"), "HOME": str(place.folder),
                              "PYTHONDONTWRITEBYTECODE": "1"})
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return talk


def test_shell(controlled, tools, talk, place):
    """qmp-shell: greeting, negotiation, its list of commands, arguments of all types, errors."""
    server = controlled()
    place.peer()
    said = talk(tools / "scripts/qmp/qmp-shell", server.control, said="""query-version
query-clients region=ivshmem first=0
client-disconnect region=ivshmem id=7
listener-add region=ivshmem name=more socket=%s read-only=true vectors=1
query-listeners
no-such
""" % (place.folder / "more"))
    assert re.search(r"^Connected to QEMU \d+\.\d+\.\d+$", said, re.MULTILINE)
    answers = [json.loads(line) for line in re.findall(r"^\(QEMU\) (\{.*\})$", said, re.MULTILINE)]
    version, clients, missing, added, listeners, unknown = answers
    assert version["return"]["package"].startswith("ivshmem-server")
    assert [client["id"] for client in clients["return"]["clients"]] == [0]
    assert missing["error"]["class"] == "DeviceNotFound"
    assert added == {"return": {}}
    assert [row["read-only"] for row in listeners["return"]] == [False, True]
    assert unknown["error"]["class"] == "CommandNotFound"


def test_library(controlled, talk):
    """What newer tools are made with: commands at once, and events between the answers."""
    server = controlled()
    found = json.loads(talk("-c", LIBRARY, server.control, server.socket))
    assert set(found["version"]) == {"qemu", "package"}
    assert (found["came"], found["left"]) == (["CLIENT_CONNECTED", 0], "CLIENT_LEFT")
    assert found["clients"] == [[0]] * 50
    assert found["gone"] == {"disconnected": 1}
    assert found["error"] == ["DeviceNotFound", "region ivshmem has no client 7"]


def test_older_library(controlled, talk):
    server = controlled()
    found = json.loads(talk("-c", OLD_LIBRARY, server.control, server.socket))
    assert found["greeting"]["QMP"]["version"] == found["version"]
    assert (found["event"], found["error"]) == ("CLIENT_CONNECTED", "CommandNotFound")
