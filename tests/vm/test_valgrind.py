# SPDX-License-Identifier: MIT
"""QEMU's own code under valgrind, while peers join and leave.

QEMU's device keeps an array for each peer, frees it when the peer goes, and uses it again if a
server announces that ID again. Nothing crashes at once, so only valgrind shows it. The firmware is
enough of a guest: the device does this whether or not somebody drives it.
"""

import pathlib
import re
import shutil

import pytest

N_ROUNDS = 5
VALGRIND = ["valgrind", "--num-callers=20"]
NAIVE_SERVER = pathlib.Path(__file__).parent / "naive_server.py"

pytestmark = pytest.mark.long


def join_and_leave(start, follow, **options):
    """Lets peers come and go while QEMU runs the device under valgrind. A watching peer hears what
    the device hears; with `follow` it also holds the server to the protocol. Gives the IDs that
    were given out, how many invalid reads, writes and frees there were, and valgrind's report."""
    assert shutil.which("valgrind"), "valgrind is missing"
    server = start.server(n_vectors=2, **options)
    vm = start.vm(server.socket, qemu_prefix=VALGRIND)
    watcher = start.peer(server)
    told = []
    for _ in range(N_ROUNDS):
        with start.peer(server) as first, start.peer(server) as second:
            told += [first.id, second.id]
            if follow:
                watcher.until_told(second.id)
            first.until_told(second.id)
            vm.qmp.execute("query-status")
        # Its main loop has read what was there when it answers, and it still lives.
        vm.qmp.execute("query-status")
        if follow:
            watcher.until_gone(second.id)
            watcher.until_gone(first.id)
    assert vm.qmp.execute("query-status", timeout=120)["running"]
    vm.qmp.execute("quit")
    vm.process.wait(120)
    report = vm.stderr()
    assert "ERROR SUMMARY" in report, f"valgrind has not finished:\n{report}"
    return told, len(re.findall(r"Invalid (?:read|write|free)", report)), report


def test_server_is_safe_for_qemu(start):
    """No ID comes back while the machine is connected, and QEMU touches no freed memory."""
    told, n_invalid, report = join_and_leave(start, follow=True)
    assert len(set(told)) == 2 * N_ROUNDS
    assert n_invalid == 0, report


def test_the_fault_would_be_seen(start):
    """With a server that gives IDs again, valgrind does report QEMU: so its silence means
    something."""
    told, n_invalid, _ = join_and_leave(start, follow=False, program=NAIVE_SERVER)
    assert len(set(told)) < 2 * N_ROUNDS
    assert n_invalid > 0
