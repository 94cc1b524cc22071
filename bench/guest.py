# SPDX-License-Identifier: MIT
"""What is measured inside a virtual machine: the tests' own, with two programs more in it."""
import json
import pathlib
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TREE / "tests/vm"), str(TREE / "tests/lib")]

from agent import TIMEOUT  # noqa: E402
from image import Image  # noqa: E402
from machine import Vm  # noqa: E402
from peer import Peer  # noqa: E402
from serve import Server  # noqa: E402
from tool import Tool  # noqa: E402

NOBODY = 65535
PROGRAMS = ("bench/bench-guest-floor", "bench/bench-guest-ring")


def _run(vm, *words):
    """Runs a program in the guest; gives the JSON objects that it prints."""
    vm.call(" ".join(["start", *map(str, words)]))
    done = vm.finish_client()
    if done.status != 0:
        raise RuntimeError(f"{words}: {done}")
    return [json.loads(line) for line in done.out.splitlines()]


def measure(count, rounds):
    """Gives ([{"ping": us, "floor": us}], [{"port": ns, "store": ns}] of a peer that is there and
    never looks, and the same of nobody)."""
    with Server(size="64K", n_vectors=1) as server, \
            Vm(Image(programs=PROGRAMS).make(), server.socket, vectors=1) as vm, \
            Tool("-S", server.socket, "pong") as pong, Peer(server.socket, 1) as sleeper:
        sleeper.setup()
        peer = pong.line().split()[1].removeprefix("id=")
        vm.ready()
        # Before the set-up: what vfio has, sysfs does not map a second time.
        address = vm.call("list", TIMEOUT)[0].split(",")[0]
        rings, to_nobody = (_run(vm, "/bin/bench-guest-ring", address, to, rounds)
                            for to in (sleeper.id, NOBODY))
        if vm.client("setup", port=None).status != 0:
            raise RuntimeError(f"the guest cannot be set up: {vm.console()}")
        group = vm.call("list", TIMEOUT)[0].split(",")[3]
        floor = ["/bin/bench-guest-floor", address, group, peer, count]
        ping = ["/bin/ivshmem-client", "--port", f"pci:{address}", "ping", peer, "--count", count,
                "--json"]
        trips = []
        for _ in range(rounds):
            before = _run(vm, *floor)[0]["p50"]
            trips.append({"ping": _run(vm, *ping)[0]["p50"], "floor": before})
        return trips, rings, to_nobody
