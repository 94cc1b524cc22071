# SPDX-License-Identifier: MIT
"""The guest's device library on real kernels: what it takes, what it refuses, what it leaves."""

import errno

import pytest
from machine import GuestError

WAIT_MS = 5000
COMMAND = 4  # PCI command register
BUS_MASTER = 4
MSIX_ENABLE = 0x8000


def config16(vm, address, offset):
    """A register of the device's configuration space, as the guest's kernel shows it."""
    return int.from_bytes(bytes.fromhex(vm.call(f"config {address} {offset} 2")[0]), "little")


def msix_control(vm, address):
    """The MSI-X capability's control register."""
    at = config16(vm, address, 0x34) & 0xff
    while at:
        header = config16(vm, address, at)
        if header & 0xff == 0x11:
            return config16(vm, address, at + 2)
        at = header >> 8
    raise AssertionError("the device has no MSI-X capability")


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
        assert refused(vm, "open") == errno.EBUSY
        assert vm.call("wait 1 0") == ["1"]
        vm.send(f"wait 1 {WAIT_MS}")  # still takes doorbells, after the second opener
        host.ring(peer, 1)
        assert vm.reply() == ["1"]
        vm.call("close")
        assert not msix_control(vm, address) & MSIX_ENABLE
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
    vm = start.vm(server.socket, iommu=False)
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
    vm = start.vm(server.socket, vectors=1, iommu=False,
                  more=["-device", "intel-iommu,intremap=off"])
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
