# SPDX-License-Identifier: MIT
"""QEMU's own code under valgrind, while peers join and leave.

QEMU's device keeps an array for each peer, frees it when the peer goes, and uses it again if a
server announces that ID again. Nothing crashes at once, so only valgrind shows it. The firmware is
enough of a guest for that: the device does it whether or not somebody drives it. One machine boots
Linux all the same, so that vectors are in use.
"""

import pathlib
import re
import shutil

import pytest

N_ROUNDS = 5
# Valgrind runs one thread at a time. Unless it has them take turns, the one that computes, the guest,
# goes on again and again, and QEMU's main loop may not get to run for half a minute.
VALGRIND = ["valgrind", "--fair-sched=yes", "--num-callers=20"]
# The guest's time goes with its instructions: it would find its timer broken otherwise.
SLOW_TIME = ["-icount", "shift=2"]
BOOT_TIMEOUT = 1200
QEMU_TIMEOUT = 300  # its start takes 6 seconds on an idle machine
NAIVE_SERVER = pathlib.Path(__file__).parent / "naive_server.py"

pytestmark = pytest.mark.long


def start_machine(start, server, **options):
    assert shutil.which("valgrind"), "valgrind is missing"
    return start.vm(server.socket, qemu_prefix=VALGRIND, timeout=QEMU_TIMEOUT, **options)


def join_and_leave(start, server, vm, follow=True):
    """Lets peers come and go; gives the IDs that were given out. With `follow`, one more peer hears
    what the device hears, and holds the server to the protocol."""
    watcher = start.peer(server) if follow else None
    told = []
    for _ in range(N_ROUNDS):
        with start.peer(server) as first, start.peer(server) as second:
            told += [first.id, second.id]
            if watcher:
                watcher.until_told(second.id)
            # Its main loop has read what was there when it answers, and it still lives.
            vm.qmp.execute("query-status")
        if watcher:
            watcher.until_gone(second.id)
            watcher.until_gone(first.id)
        vm.qmp.execute("query-status")
    return told


def invalid_accesses(vm):
    """Ends QEMU; gives valgrind's invalid reads, writes and frees."""
    vm.qmp.execute("quit")
    vm.process.wait(QEMU_TIMEOUT)
    report = vm.stderr()
    assert "ERROR SUMMARY" in report, f"valgrind has not finished:\n{report}"
    return re.findall(r"Invalid (?:read|write|free).*(?:\n.*){12}", report)


def test_server_is_safe_for_qemu(start):
    """No ID comes back while the machine is connected, and QEMU touches no freed memory."""
    server = start.server(n_vectors=2)
    vm = start_machine(start, server)
    told = join_and_leave(start, server, vm)
    assert len(set(told)) == 2 * N_ROUNDS
    assert invalid_accesses(vm) == []


def test_server_is_safe_for_a_guest(start):
    """The same around a guest that takes and rings doorbells."""
    server = start.server(n_vectors=2)
    vm = start_machine(start, server, more=SLOW_TIME)
    host = start.peer(server)
    vm.ready(BOOT_TIMEOUT)
    vm.call("load", BOOT_TIMEOUT)
    vm.call("bind", BOOT_TIMEOUT)
    peer = int(vm.call("open", BOOT_TIMEOUT)[0])
    for _ in range(2):
        join_and_leave(start, server, vm)
        host.drain()
        for vector in range(2):
            vm.call(f"wait {vector} 0")
            host.ring(peer, vector)
            assert vm.call(f"wait {vector} 60000", BOOT_TIMEOUT) == ["1"]
            vm.call(f"ring {host.id} {vector}")
            assert host.wait(vector) == 1
    assert invalid_accesses(vm) == []


def test_the_fault_would_be_seen(start):
    """With a server that gives IDs again, valgrind does report QEMU: so its silence means
    something."""
    server = start.server(n_vectors=2, program=NAIVE_SERVER)
    vm = start_machine(start, server)
    told = join_and_leave(start, server, vm, follow=False)
    assert len(set(told)) < 2 * N_ROUNDS
    assert invalid_accesses(vm)
