# SPDX-License-Identifier: MIT
"""A guest with systemd, whose unit sets the device up at boot. Long for the making of its root."""

import json
import os
import re
import shutil

import pytest
from systemd import SystemdImage
from tool import Tool

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make the guest's"),
    pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap"),
]


def systemctl(vm, *words):
    """Runs it in the guest; gives its status and what it printed."""
    vm.call(" ".join(["start", "/bin/systemctl", *words]))
    return vm.finish_client()


def test_device_is_set_up_at_boot(start):
    server = start.server(size="64K", n_vectors=2)
    vm = start.vm(server.socket, image=SystemdImage().make())
    vm.ready()
    listed = vm.call("list")
    address = listed[0].split(",")[0]
    unit = f"ivshmem-setup@{address}.service"
    systemctl(vm, "is-system-running", "--wait")  # until all is done that boot and udev want
    assert systemctl(vm, "is-active", unit).out == "active\n"

    vm.call("user 65534")  # nobody
    assert vm.client("list").status == 1
    vm.call("user 0")
    (group,) = re.findall(r"^ivshmem:x:(\d+):", vm.file("/etc/group"), re.MULTILINE)
    vm.call(f"user {group}")  # and the group of that number
    told = json.loads(vm.client("list", "--json").out)
    assert told["interrupts"] is True
    assert "all of its 2 vectors arrive" in vm.client("doctor", port=None).out
    with Tool("-S", server.socket, "pong") as pong:
        peer = pong.line().split()[1].removeprefix("id=")
        assert vm.client("ping", peer, "--count=50").status == 0

    vm.call("user 0")
    assert systemctl(vm, "stop", unit).status == 0
    assert json.loads(vm.client("list", "--json").out)["interrupts"] is False
