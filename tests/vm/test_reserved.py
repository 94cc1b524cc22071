# SPDX-License-Identifier: MIT
"""A virtual machine with a reserved identity: it reboots, and is the same peer to everybody."""

import subprocess

import pytest
from image import run
from machine import DIES_WITH_US
from peer import Peer
from serve import build_folder

ID = 7


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    """Where a server has its two sockets."""
    run(["ninja", "-C", build_folder(), "tests/vm/reserved-host"])
    program = build_folder() / "tests/vm/reserved-host"
    with subprocess.Popen([*DIES_WITH_US, program, tmp_path, str(ID)],
                          stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"ready\n"
        yield tmp_path
        server.kill()


def test_reboot(start, folder):
    """It keeps its ID, and sees what was written and rung while it was down; nobody else is told
    of anything."""
    with Peer(folder / "socket", 2) as host:
        host.setup()
        assert set(host.peers) == {ID}  # before the machine has ever been there
        vm = start.vm(folder / "reserved", name="first")
        assert vm.device()[0] == str(ID)
        assert vm.call("wait 1 0") == ["1"]
        vm.send("wait 1 10000")
        host.ring(ID, 1)
        assert vm.reply() == ["1"]
        vm.write(0, b"before")
        assert vm.quit() == 0

        host.map[:6] = b"during"
        host.ring(ID, 1)
        vm = start.vm(folder / "reserved", name="second")
        assert vm.device()[0] == str(ID)
        assert vm.call("wait 1 0") == ["1"]
        assert vm.read(0, 6) == b"during"
        vm.send("wait 1 10000")
        host.ring(ID, 1)
        assert vm.reply() == ["1"]
        vm.call(f"ring {host.id} 0")
        assert host.wait(0) == 1
        assert set(host.peers) == {ID}
