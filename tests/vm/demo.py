#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Two virtual machines that share memory and ring each other, against a server: a first look.

    demo.py [--server PATH]
"""

import argparse
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "lib")]

from image import Image  # noqa: E402
from machine import Vm  # noqa: E402
from peer import Peer  # noqa: E402
from serve import Server, server_program  # noqa: E402

N_VECTORS = 2
N_ROUND_TRIPS = 1000
LIMIT_MS = 20000
GREETING = b"Hello from the other machine!"


class Story:
    """Lines of output, each with the seconds since the start."""

    def __init__(self):
        self._start = time.monotonic()

    def tell(self, text):
        print(f"{time.monotonic() - self._start:6.2f} s  {text}", flush=True)


def round_trips(a, b, b_id, a_id):
    """Microseconds from a's doorbell to b's answer: minimum, median, maximum."""
    b.send(f"pong {a_id} 0 {N_ROUND_TRIPS} {LIMIT_MS}")
    times = a.call(f"ping {b_id} 0 {N_ROUND_TRIPS} {LIMIT_MS}")
    b.reply()
    return times


def show(story, host, vms):
    """What there is to see, once both machines have been started. It is checked, too."""
    ids = []
    for vm in vms:
        ids.append(int(vm.device()[0]))
        story.tell(f"{vm.name} is up, and its device says that it is peer {ids[-1]}")
        host.until_told(ids[-1])
    story.tell(f"the server has told the host, peer {host.id}, of both, "
               f"with {N_VECTORS} doorbells each")

    a, b = vms
    for vm in vms:
        vm.call("wait 1 0")  # the first wait of a vector returns at once
    a.write(0, GREETING)
    b.send(f"wait 1 {LIMIT_MS}")
    a.call(f"ring {ids[1]} 1")
    assert b.reply() == ["1"], "the doorbell did not arrive"
    text = b.read(0, len(GREETING))
    assert text == GREETING, f"the memory holds {text!r}"
    story.tell(f"{a.name} wrote into the shared memory and rang {b.name}, which reads: "
               f"\"{text.decode()}\"")

    minimum, median, maximum = round_trips(a, b, ids[1], ids[0])
    story.tell(f"{N_ROUND_TRIPS} round trips from {a.name} to {b.name} and back: "
               f"median {median} us (emulated CPUs; {minimum} to {maximum})")
    for vm, peer in zip(vms, ids):
        host.ring(peer, 1)
        assert vm.call(f"wait 1 {LIMIT_MS}") == ["1"], "the host's doorbell did not arrive"
    a.call(f"ring {host.id} 0")
    assert host.wait(0) == 1, "the guest's doorbell did not arrive"
    story.tell("the host rang both, and was rung")

    b.kill()
    host.until_gone(ids[1])
    story.tell(f"{b.name} was killed, and the server has told the others")
    assert a.quit() == 0
    host.until_gone(ids[0])
    story.tell(f"{a.name} has powered itself off")


def run(program):
    story = Story()
    story.tell("preparing the guests' kernel and program")
    image = Image().make()
    with Server(n_vectors=N_VECTORS, program=program) as server:
        story.tell(f"serving 4 MiB and {N_VECTORS} vectors: {program.name} -S {server.socket}")
        with Peer(server.socket, N_VECTORS) as host:
            host.setup()
            with Vm(image, server.socket, name="vm-a") as a, \
                    Vm(image, server.socket, name="vm-b") as b:
                story.tell("two machines are booting (QEMU, without hardware virtualisation)")
                show(story, host, [a, b])
    story.tell("done")


def main():
    parser = argparse.ArgumentParser(description="Two VMs ring each other through a server.")
    parser.add_argument("--server", type=pathlib.Path, default=server_program(),
                        help="the server (%(default)s)")
    program = parser.parse_args().server
    if not program.exists():
        sys.exit(f"demo: there is no server {program}")
    try:
        run(program)
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, RuntimeError, AssertionError) as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
