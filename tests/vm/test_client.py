# SPDX-License-Identifier: MIT
"""ivshmem-client in real guests: one static file on a stock kernel, talking to other guests and to
ivshmem-client on the host."""

import contextlib
import json
import signal

import pytest
from image import FULL_KERNEL, MODULES, OTHER_DRIVER, Image
from tool import Tool, run

COMMAND = 4  # PCI command register, its low byte
BUS_MASTER = 4
FIGURES = ["min", "p50", "p90", "p99", "p99.9", "max"]


def ok(done):
    """What a program has printed that must have ended well."""
    assert done.status == 0, done
    return done.out


def refused(done, *words):
    assert done.status == 1, done
    assert done.err.startswith("ivshmem-client: ") and done.err.count("\n") == 1
    for word in words:
        assert word in done.err


def diagnosis(done, *words):
    """The doctor has found a problem, and says so."""
    assert done.status == 1, done
    problems = [line for line in done.out.splitlines() if line.startswith("problem: ")]
    assert len(problems) == len(words), done
    for problem, word in zip(problems, words):
        assert word in problem


def set_up(vm):
    """Boots and sets the device up; gives the ID."""
    vm.ready()
    ok(vm.client("setup", port=None))
    return json.loads(ok(vm.client("list", "--json")))["id"]


def ping_figures(text, count):
    told = json.loads(text)
    assert told["count"] == count
    times = [told[name] for name in FIGURES]
    assert 0 < times[0] and times == sorted(times)
    return told


def check_another_driver(vm):
    """Who has the device is said, and it is not taken away."""
    (device,) = (line.split(",")[0] for line in vm.call("list"))
    said = f"the kernel's driver {OTHER_DRIVER} has it"
    vm.call("load /other")
    vm.put(f"/sys/bus/pci/devices/{device}/driver_override", OTHER_DRIVER.encode())
    vm.put("/sys/bus/pci/drivers_probe", device.encode())
    diagnosis(vm.client("doctor", port=None), said)
    refused(vm.client("list"), said)
    for words in [["setup"], ["setup", "--undo"]]:
        refused(vm.client(*words, port=None), said)
    vm.put(f"/sys/bus/pci/drivers/{OTHER_DRIVER}/unbind", device.encode())


def check_bus_master(vm, device, peer, host):
    """A program has the device open, and its Bus Master is off: the doctor sees it from outside."""
    config = f"/sys/bus/pci/devices/{device}/config"
    vm.call(f"open {device}")
    command = vm.get(config, COMMAND, 1)[0]
    vm.call("wait 0 0")
    vm.put(config, bytes([command & ~BUS_MASTER]), COMMAND)
    host.ring(peer, 0)
    assert vm.call("wait 0 300") == ["0"]  # indeed
    diagnosis(vm.client("doctor", port=None), "another process has a device",
              "is open with Bus Master off, so no interrupt arrives")
    vm.put(config, bytes([command]), COMMAND)
    host.ring(peer, 0)
    assert vm.call("wait 0 10000") == ["1"]
    diagnosis(vm.client("doctor", port=None), "another process has a device")
    vm.call("close")


def check_setup(vm):
    """What setup does, and what it says that it would do."""
    assert modules_in(ok(vm.client("setup", "--dry-run", "--group=ivshmem", port=None))) == len(MODULES)
    device = json.loads(ok(vm.client("list", "--json", port=None)))["device"]
    said = ok(vm.client("setup", "--dry-run", "--group=ivshmem", port=None))
    assert f"echo vfio-pci > /sys/bus/pci/devices/{device}/driver_override\n" in said
    assert "chmod 660 /dev/vfio/" in said
    assert not json.loads(ok(vm.client("list", "--json")))["interrupts"]  # nothing was done
    diagnosis(vm.client("doctor", port=None), "is not bound to vfio-pci, which is not loaded")
    refused(vm.client("wait"), "no interrupts")
    for _ in range(2):  # once more changes nothing
        assert f"{device}: bound to vfio-pci, as /dev/vfio/" in ok(vm.client("setup", port=None))
    assert ok(vm.client("setup", "--dry-run", port=None)) == ""
    refused(vm.client("setup", "--group=nobody", port=None), "no group 'nobody'")
    return device


def modules_in(said):
    return len([line for line in said.splitlines() if line.startswith("insmod /lib/modules/")])


def check_rights(vm):
    """Root, then the group, and nobody else."""
    vm.call("user 1000")
    refused(vm.client("list"), "Permission denied")
    diagnosis(vm.client("doctor", port=None), "user 1000 may not open /dev/vfio/")
    refused(vm.client("setup", port=None), "needs root")
    vm.call("user 0")
    ok(vm.client("setup", "--group=ivshmem", port=None))
    vm.call("user 1000")
    assert "interrupts yes\n" in ok(vm.client("list"))
    vm.call("user 1001")
    refused(vm.client("list"), "Permission denied")
    vm.call("user 0")


def check_errors(vm, device):
    refused(vm.client("list", port="pci:1"), "no ivshmem device number 1")
    refused(vm.client("list", port="pci:0000:00:1f.7"), "no ivshmem device at this address")
    refused(vm.client("wait", "2"), "no vector 2: we have 2")
    refused(vm.client("ring", "65536", "0"), "peer '65536'")
    refused(vm.client("ring", "0", "2048"), "vector '2048'")
    refused(vm.client("ring", "all"), "does not know its peers")
    refused(vm.client("read", "64K", "1"), "which has 65536 bytes")
    ok(vm.client("ring", "65535", "0"))  # nobody is there: nobody tells
    vm.call(f"open {device}")
    refused(vm.client("list"), "another process has a device of this IOMMU group open")
    diagnosis(vm.client("doctor", port=None), "Device or resource busy")
    vm.call("close")


def check_events(vm, peer, host):
    """Doorbells and bytes between the guest and the host."""
    vm.start_client("wait", "1", "--json")
    vm.until_client("ready")
    host.ring(peer, 0)
    vm.until_client('"ring"')
    host.ring(peer, 1)
    assert [json.loads(line) for line in ok(vm.finish_client()).splitlines()] == [
        {"event": "ready", "id": peer, "vectors": 2}, {"event": "ring", "vector": 0},
        {"event": "ring", "vector": 1}]
    assert vm.client("wait", "--timeout=0.05").status == 2
    vm.start_client("watch")
    vm.until_client("ready")
    host.ring(peer, 1)
    vm.until_client("vector=1")
    assert ok(vm.finish_client(signal.SIGTERM)).splitlines() == [
        f"ready id={peer} vectors=2", "ring vector=1"]
    for words, rung in [(["1"], {1}), (["all"], {0, 1})]:
        ok(vm.client("ring", host.id, *words))
        assert all(host.wait(vector) for vector in rung)
    ok(vm.client("write", "65532", given=b"last"))
    assert host.map[-4:] == b"last"
    assert ok(vm.client("read", "65530", "6")) == "\0\0last"
    host.map[-4:] = bytes(4)


def test_every_command(start):
    """A guest and the host."""
    server = start.server(size="64K", n_vectors=2)
    host = start.peer(server)
    vm = start.vm(server.socket)
    vm.ready()
    device = check_setup(vm)
    peer = json.loads(ok(vm.client("list", "--json")))["id"]
    host.until_told(peer)
    assert ok(vm.client("list")).splitlines() == [
        f"id {peer}", "memory 65536", "vectors 2", f"device {device}", "interrupts yes",
        "peers unknown"]
    said = ok(vm.client("doctor", port=None))
    assert f"is peer {peer}, and all of its 2 vectors arrive" in said
    check_rights(vm)
    check_errors(vm, device)
    check_bus_master(vm, device, peer, host)
    check_events(vm, peer, host)
    check_pings_with_host(vm, peer, server)
    ok(vm.client("setup", "--undo", port=None))
    assert "interrupts no\n" in ok(vm.client("list"))
    check_another_driver(vm)


def check_pings_with_host(vm, peer, server):
    """Both ways, by doorbells and spinning; the memory is empty again after each."""
    with Tool("-S", server.socket, "pong", "--vector=1") as pong:
        host = pong.line().split()[1].removeprefix("id=")
        for option in ["--json", "--spin"]:
            told = ok(vm.client("ping", host, "--count=100", "--vector=1", "--json", option))
            assert ping_figures(told, 100)["spin"] == (option == "--spin")
        assert "answers, in" in ok(vm.client("doctor", host, "--vector=1", port=None))
    vm.start_client("pong")
    vm.until_client("ready")
    for option in ["--json", "--spin"]:
        done = run("-S", server.socket, "ping", peer, "--count=100", "--json", option)
        assert done.returncode == 0, done.stderr
        ping_figures(done.stdout, 100)
    assert run("-S", server.socket, "doctor", peer).returncode == 0
    assert vm.finish_client(signal.SIGINT).status == 0
    silent = run("-S", server.socket, "doctor", peer)
    assert silent.returncode == 1 and b"does not answer" in silent.stdout


def test_guest_to_guest_until_one_is_killed(start):
    server = start.server(size="64K", n_vectors=2)
    vms = [start.vm(server.socket, name=f"vm{i}") for i in range(2)]
    ids = [set_up(vm) for vm in vms]
    for a, b in [(0, 1), (1, 0)]:
        vms[b].start_client("pong")
        vms[b].until_client("ready")
        ping_figures(ok(vms[a].client("ping", ids[b], "--count=200", "--json")), 200)
        ping_figures(ok(vms[a].client("ping", ids[b], "--count=200", "--json", "--spin")), 200)
        vms[b].finish_client(signal.SIGINT)
        assert vms[a].client("ping", ids[b], "--timeout=0.3").status == 2  # none runs there
    vms[1].start_client("pong")
    vms[1].until_client("ready")
    vms[0].start_client("ping", ids[1], "--count=1000000", "--timeout=1")
    vms[1].kill()
    done = vms[0].finish_client()
    assert done.status == 2 and f"peer {ids[1]} does not answer" in done.err
    with contextlib.closing(start.peer(server)) as host:
        assert host.map[:] == bytes(65536)


@pytest.mark.parametrize("n_vectors", [1, 64])
def test_vectors(start, n_vectors):
    """All of them arrive, and the last is as good as the first."""
    server = start.server(size="4K", n_vectors=n_vectors)
    vm = start.vm(server.socket, vectors=n_vectors)
    peer = set_up(vm)
    assert f"all of its {n_vectors} vectors arrive" in ok(vm.client("doctor"))
    vm.start_client("pong", f"--vector={n_vectors - 1}")
    vm.until_client("ready")
    done = run("-S", server.socket, "ping", peer, "--count=20", f"--vector={n_vectors - 1}", "--json")
    assert done.returncode == 0, done.stderr
    ping_figures(done.stdout, 20)
    assert vm.finish_client(signal.SIGINT).status == 0


@pytest.mark.parametrize("size", ["4K", "1M", "256M"])
def test_sizes(start, size):
    """The memory's first and last bytes are the host's too."""
    server = start.server(size=size, n_vectors=1)
    host = start.peer(server)
    vm = start.vm(server.socket, vectors=1)
    set_up(vm)
    n = len(host.map)
    assert f"memory {n}\n" in ok(vm.client("list"))
    for offset in [0, n // 2, n - 4]:
        ok(vm.client("write", offset, given=b"here"))
        assert host.map[offset:offset + 4] == b"here"
        assert ok(vm.client("read", offset, 4)) == "here"
    refused(vm.client("write", n - 3, given=b"here"), "past the end of the memory")


def test_without_iommu(start):
    """The guest is told what it lacks; what needs no interrupts works."""
    server = start.server(size="64K", n_vectors=2)
    host = start.peer(server)
    vm = start.vm(server.socket, iommu=None)
    vm.ready()
    refused(vm.client("setup", port=None), "behind no IOMMU")
    diagnosis(vm.client("doctor", port=None), "has no IOMMU")
    told = json.loads(ok(vm.client("list", "--json")))
    assert told["interrupts"] is False and told["peers"] is None
    refused(vm.client("wait"), "no interrupts")
    refused(vm.client("watch"), "no interrupts")
    ok(vm.client("ring", host.id, "1"))
    assert host.wait(1) == 1
    ok(vm.client("write", "0", given=b"here"))
    assert host.map[:4] == b"here"
    host.map[:4] = bytes(4)
    vm.start_client("pong")
    vm.until_client("ready")
    for option in ["--json", "--spin"]:
        done = run("-S", server.socket, "ping", told["id"], "--count=20", "--json", option)
        assert done.returncode == 0, done.stderr
    assert vm.finish_client(signal.SIGINT).status == 0


def test_without_interrupt_remapping(start):
    server = start.server(n_vectors=1)
    vm = start.vm(server.socket, vectors=1, iommu="intel-iommu,intremap=off")
    vm.ready()
    ok(vm.client("setup", port=None))
    diagnosis(vm.client("doctor", port=None), "does not remap interrupts")


def test_vectors_that_differ(start):
    """The server gives fewer than the device has: the doctor finds how many."""
    server = start.server(size="64K", n_vectors=2)
    vm = start.vm(server.socket, vectors=3)
    peer = set_up(vm)
    diagnosis(vm.client("doctor"), "has 3 vectors, but the server gives 2")
    vm.start_client("pong")
    vm.until_client("ready")
    done = run("-S", server.socket, "doctor", peer)
    assert done.returncode == 1
    assert f"peer {peer} has 3 vectors for itself, and 2 for us" in done.stdout.decode()
    vm.finish_client(signal.SIGINT)


def test_without_modules_and_device(start):
    vm = start.vm()
    vm.ready()
    refused(vm.client("setup", port=None), "no ivshmem device")
    refused(vm.client("list"), "this machine has 0")
    diagnosis(vm.client("doctor", port=None), "neither an ivshmem device")
    server = start.server(n_vectors=1)
    vm = start.vm(server.socket, vectors=1)
    vm.ready()
    release = vm.call("release")[0]
    for module in MODULES:
        vm.call(f"unlink /lib/modules/{release}/kernel/{module}")
    refused(vm.client("setup", port=None), "no vfio-pci", f"/lib/modules/{release}")


@pytest.mark.long
def test_amd_iommu(start):
    """The same on Debian's full kernel with an emulated AMD IOMMU. Long for its download."""
    server = start.server(size="64K", n_vectors=2)
    vm = start.vm(server.socket, iommu="amd-iommu,intremap=on", image=Image(FULL_KERNEL).make())
    peer = set_up(vm)
    assert "all of its 2 vectors arrive" in ok(vm.client("doctor"))
    check_pings_with_host(vm, peer, server)
