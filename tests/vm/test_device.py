# SPDX-License-Identifier: MIT
"""The guest's device library on real kernels: what it takes, what it refuses, what it leaves."""

import errno
import os
import re

import pytest
from agent import GuestError
from image import FULL_KERNEL, Image

WAIT_MS = 5000
SYSFS = "/sys/bus/pci/devices"
COMMAND = 4  # PCI command register
BUS_MASTER = 4
MSIX_ENABLE = 0x8000
UNCACHED = {"uncached-minus"}


def config16(vm, address, offset):
    """A register of the device's configuration space, as the guest's kernel shows it."""
    return int.from_bytes(vm.get(f"{SYSFS}/{address}/config", offset, 2), "little")


def msix_control(vm, address):
    """The MSI-X capability's control register."""
    at = config16(vm, address, 0x34) & 0xff
    while at:
        header = config16(vm, address, at)
        if header & 0xff == 0x11:
            return config16(vm, address, at + 2)
        at = header >> 8
    raise AssertionError("the device has no MSI-X capability")


def mapped_as(vm, address, bar):
    """How the guest's kernel maps a BAR into processes: its memory types. What is said of them in
    the manual is true: see the callers."""
    start = int(vm.file(f"{SYSFS}/{address}/resource").splitlines()[bar].split()[0], 16)
    return set(re.findall(rf"mem 0x0*{start:x}-0x\w+\] (\S+)",
                          vm.file("/sys/kernel/debug/x86/pat_memtype_list")))


def listed(vm):
    """The one device of a guest, as (address, revision, size, IOMMU group, driver)."""
    (line,) = vm.call("list")
    return line.split(",")


def refused(vm, command):
    """The errno with which the guest answers a command that must fail."""
    with pytest.raises(GuestError) as caught:
        vm.call(command)
    return caught.value.errno


def test_opened_once_and_left_as_found(start):
    """One opener at a time; closing turns interrupts and Bus Master off again, and unbinding
    leaves the device without a driver."""
    server = start.server(n_vectors=2)
    host = start.peer(server)
    vm = start.vm(server.socket)
    vm.ready()
    address, revision, size, group, driver = listed(vm)
    assert (revision, size, driver) == ("1", str(4 << 20), "")
    assert int(group) >= 0
    vm.call("load")
    vm.call("bind")
    assert listed(vm)[4] == "vfio-pci"
    command = config16(vm, address, COMMAND)
    assert not command & BUS_MASTER

    for which in ["", address, address[len("0000:"):], "0"]:
        peer = int(vm.call(f"open {which}")[0])
        host.until_told(peer)
        assert config16(vm, address, COMMAND) & BUS_MASTER
        assert msix_control(vm, address) & MSIX_ENABLE
        assert mapped_as(vm, address, 0) == mapped_as(vm, address, 2) == UNCACHED
        assert refused(vm, "open") == errno.EBUSY
        assert vm.call("wait 1 0") == ["1"]
        vm.send(f"wait 1 {WAIT_MS}")  # still takes doorbells, after the second opener
        host.ring(peer, 1)
        assert vm.reply() == ["1"]
        vm.call("close")
        assert not msix_control(vm, address) & MSIX_ENABLE
        assert mapped_as(vm, address, 2) == set()
        assert config16(vm, address, COMMAND) == command

    vm.call("unbind")
    assert listed(vm)[4] == ""
    vm.call("unbind")  # once more changes nothing
    assert refused(vm, "open 1") == errno.ENODEV
    assert refused(vm, "open 0000:00:1f.7") == errno.ENODEV
    assert refused(vm, "open here") == errno.EINVAL


def test_bad_numbers(start):
    """What does not exist is refused, and ringing nobody is no error."""
    server = start.server(n_vectors=2)
    vm = start.vm(server.socket)
    vm.device()
    assert refused(vm, "wait 2 0") == errno.EINVAL
    assert refused(vm, "ring 65536 0") == errno.EINVAL
    assert refused(vm, "ring 0 65536") == errno.EINVAL
    vm.call("ring 65535 65535")


def test_without_iommu(start):
    """Without an IOMMU a guest sends, shares memory and is told that it has no interrupts."""
    server = start.server(n_vectors=2)
    host = start.peer(server)
    vm = start.vm(server.socket, iommu=None)
    vm.ready()
    vm.call("load")
    address, _, _, group, _ = listed(vm)
    assert group == "-1"
    assert refused(vm, "bind") == errno.EOPNOTSUPP
    assert listed(vm)[4] == ""
    command = config16(vm, address, COMMAND)

    peer, n_vectors, size, interrupts, _ = vm.call("open")
    host.until_told(int(peer))
    assert (n_vectors, size, interrupts) == ("2", str(4 << 20), "0")
    assert refused(vm, "wait 0 0") == errno.EOPNOTSUPP
    assert refused(vm, "open") == errno.EBUSY
    assert refused(vm, "bind") == errno.EBUSY
    assert mapped_as(vm, address, 2) == UNCACHED
    assert re.search("base=0x0c0000000 .* uncachable", vm.file("/proc/mtrr"))
    for vector in range(2):
        vm.call(f"ring {host.id} {vector}")
        assert host.wait(vector) == 1
    vm.write(0, b"from the guest")
    assert host.map[:14] == b"from the guest"
    # wait_for looks at the memory now and then: it finds what nothing announced.
    vm.send(f"pong {host.id} 0 3 {WAIT_MS}")
    for i in range(1, 4):
        host.map[0x1000:0x1008] = i.to_bytes(8, "little")
        assert host.wait(0) == 1
        assert host.map[0x1040:0x1048] == i.to_bytes(8, "little")
    assert vm.reply() == []
    vm.call("close")
    assert config16(vm, address, COMMAND) == command
    vm.call("open")


def test_without_interrupt_remapping(start):
    """vfio refuses an IOMMU that does not remap interrupts, and the library says what to do."""
    server = start.server(n_vectors=1)
    vm = start.vm(server.socket, vectors=1, iommu="intel-iommu,intremap=off")
    vm.ready()
    vm.call("load")
    vm.call("bind")
    assert refused(vm, "open") == errno.EPERM
    assert "intremap=on" in vm.console()


def test_plain_device(start):
    """An ivshmem-plain device is memory without peers."""
    vm = start.vm(more=["-object", "memory-backend-memfd,id=memory,size=1M,share=on",
                        "-device", "ivshmem-plain,memdev=memory"])
    assert vm.device() == [str(-errno.EOPNOTSUPP), "0", str(1 << 20), "0", "1"]
    vm.write(0, b"alone")
    assert vm.read(0, 5) == b"alone"
    assert refused(vm, "ring 0 0") == errno.EOPNOTSUPP
    assert refused(vm, "wait 0 0") == errno.EINVAL


def test_two_devices(start):
    """A guest tells two devices, of two servers, apart."""
    servers = [start.server(n_vectors=n) for n in [1, 2]]
    hosts = [start.peer(server) for server in servers]
    hosts[1].map[:6] = b"second"
    vm = start.vm(*(server.socket for server in servers))
    vm.ready()
    vm.call("load")
    addresses = [line.split(",")[0] for line in vm.call("list")]
    assert len(addresses) == 2
    for i in [1, 0]:
        vm.call(f"bind {addresses[i]}")
        peer = int(vm.call(f"open {i}")[0])
        assert (vm.read(0, 6) == b"second") == (i == 1)
        hosts[i].until_told(peer)
        assert vm.call("wait 0 0") == ["1"]
        vm.send(f"wait 0 {WAIT_MS}")
        hosts[i].ring(peer, 0)
        assert vm.reply() == ["1"]
        vm.call(f"ring {hosts[i].id} 0")
        assert hosts[i].wait(0) == 1
        assert hosts[1 - i].wait(0, timeout=0) == 0


def test_many_vectors(start):
    """Every one of 64 vectors arrives as itself."""
    server = start.server(n_vectors=64)
    host = start.peer(server)
    vm = start.vm(server.socket, vectors=64)
    peer = int(vm.device()[0])
    host.until_told(peer)
    for vector in range(64):
        assert vm.call(f"wait {vector} 0") == ["1"]
    for vector in reversed(range(64)):
        host.ring(peer, vector)
        assert vm.call(f"wait {vector} {WAIT_MS}") == ["1"]
        vm.call(f"ring {host.id} {vector}")
        assert host.wait(vector) == 1
    assert [vm.call(f"wait {vector} 0") for vector in range(64)] == 64 * [["0"]]


def test_too_many_vectors(start):
    """More vectors than the guest's kernel has interrupts for: refused, with what to do."""
    server = start.server(n_vectors=512)
    vm = start.vm(server.socket, vectors=512)
    vm.ready()
    vm.call("load")
    vm.call("bind")
    assert refused(vm, "open") == errno.ENOSPC
    assert "fewer vectors" in vm.console()


def test_sealed_memory(start):
    """A guest takes a memory that nobody can truncate."""
    server = start.server(n_vectors=1, more=["--memfd"])
    host = start.peer(server)
    vm = start.vm(server.socket, vectors=1)
    vm.device()
    with pytest.raises(PermissionError):
        os.ftruncate(host.memory, 0)
    vm.write((4 << 20) - 4, b"last")
    assert host.map[-4:] == b"last"


@pytest.mark.long
def test_amd_iommu(start):
    """The same on Debian's full kernel with an emulated AMD IOMMU. Long for its download."""
    server = start.server(n_vectors=2)
    host = start.peer(server)
    vm = start.vm(server.socket, iommu="amd-iommu,intremap=on", image=Image(FULL_KERNEL).make())
    peer, _, _, interrupts, _ = vm.device()
    assert interrupts == "1"
    host.until_told(int(peer))
    assert vm.call("wait 1 0") == ["1"]
    vm.send(f"wait 1 {WAIT_MS}")
    host.ring(int(peer), 1)
    assert vm.reply() == ["1"]
