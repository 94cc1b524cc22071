# SPDX-License-Identifier: MIT
"""Real guests that take doorbells and share memory, through a real QEMU and the server."""

import os
import random
import select

import pytest
from agent import GuestError
from disturbances import Kill, TakeOver

N_VECTORS = 3
N_KILLS = 20
N_TAKE_OVERS = 5
SIZE = 4 << 20
WAIT_MS = 10000


@pytest.fixture
def two(start):
    """A server, a host peer and two guests that have opened their device."""
    server = start.server(n_vectors=N_VECTORS)
    host = start.peer(server)
    vms = [start.vm(server.socket, vectors=N_VECTORS, name=f"vm{i}") for i in range(2)]
    opened = [vm.device() for vm in vms]
    ids = [int(values[0]) for values in opened]
    for peer in ids:
        host.until_told(peer)
    return host, vms, ids, opened, server


def test_guests_and_host(two):
    """All that peers do with each other, in one pair of booted machines."""
    host, vms, ids, opened, _ = two

    # Who they are: the device says what the server told everyone else.
    assert len({host.id, *ids}) == 3
    assert set(host.peers) == set(ids)
    for values in opened:
        assert values[1:] == [str(N_VECTORS), str(SIZE), "1", "1"]
    check_first_waits(vms)
    check_doorbells(host, vms, ids)
    check_memory(host, vms)
    check_round_trips(vms, ids)


def check_first_waits(vms):
    """The first wait on each vector returns at once, the second finds nothing."""
    for vm in vms:
        for vector in range(N_VECTORS):
            assert vm.call(f"wait {vector} 0") == ["1"]
            assert vm.call(f"wait {vector} 0") == ["0"]


def check_doorbells(host, vms, ids):
    """Everyone rings everyone on every vector; it arrives there and on no other vector."""
    for vector in range(N_VECTORS):
        for vm, peer in zip(vms, ids):
            vm.send(f"wait {vector} {WAIT_MS}")  # host to guest
            host.ring(peer, vector)
            assert vm.reply() == ["1"]
            vm.call(f"ring {host.id} {vector}")  # guest to host
            assert host.wait(vector) == 1
        for i in range(2):
            vms[1 - i].send(f"wait {vector} {WAIT_MS}")  # guest to guest
            vms[i].call(f"ring {ids[1 - i]} {vector}")
            assert vms[1 - i].reply() == ["1"]
        for other in range(N_VECTORS):
            assert [vm.call(f"wait {other} 0") for vm in vms] == [["0"], ["0"]]
            assert host.wait(other, timeout=0) == 0


def check_memory(host, vms):
    """What one writes the others read, at the start, in the middle and at the very end."""
    for offset in [0, SIZE // 2 - 8, SIZE - 16]:
        for writer in range(3):
            data = os.urandom(16)
            if writer == 2:
                host.map[offset:offset + 16] = data
            else:
                vms[writer].write(offset, data)
            assert [vm.read(offset, 16) for vm in vms] == [data, data]
            assert host.map[offset:offset + 16] == data
    with pytest.raises(GuestError):
        vms[0].read(SIZE - 15, 16)


def check_round_trips(vms, ids):
    """Many rings in a row lose nothing."""
    vms[1].send(f"pong {ids[0]} 0 200 {WAIT_MS}")
    minimum, median, _ = (float(value) for value in vms[0].call(f"ping {ids[1]} 0 200 {WAIT_MS}"))
    assert vms[1].reply() == []
    assert 0 < minimum <= median


def test_killed_machine_is_told_and_forgotten(two):
    """The others hear of a machine that dies, once, and go on."""
    host, vms, ids, _, server = two
    vms[0].kill()
    host.until_gone(ids[0])
    assert set(host.peers) == {ids[1]}

    vms[1].call("wait 1 0")  # the first one
    vms[1].call(f"ring {ids[0]} 1")  # nobody is there: nothing happens
    vms[1].send(f"wait 1 {WAIT_MS}")
    host.ring(ids[1], 1)
    assert vms[1].reply() == ["1"]
    vms[1].write(0, b"still here")
    assert host.map[:10] == b"still here"
    assert vms[1].quit() == 0
    host.until_gone(ids[1])
    assert not host.peers


def test_hot_plug(start):
    """A device that is plugged into a running guest works as one that was there at boot, and its
    unplugging is told to the others."""
    server = start.server(n_vectors=2)
    host = start.peer(server)
    vm = start.vm(vectors=2, ports=1)
    vm.ready()
    vm.call("load")
    assert vm.call("list") == []
    vm.plug(server.socket)
    host.until(lambda: len(host.peers) == 1)
    (peer,) = host.peers
    host.until_told(peer)

    opened = open_plugged(vm)
    assert opened == [str(peer), "2", str(SIZE), "1", "1"]
    for vector in range(2):
        assert vm.call(f"wait {vector} 0") == ["1"]
        vm.send(f"wait {vector} {WAIT_MS}")
        host.ring(peer, vector)
        assert vm.reply() == ["1"]
        vm.call(f"ring {host.id} {vector}")
        assert host.wait(vector) == 1
    host.map[:4] = b"plug"
    assert vm.read(0, 4) == b"plug"

    vm.call("close")
    vm.call("unbind")
    vm.unplug()
    host.until_gone(peer)
    assert vm.call("list") == []


def test_third_machine_plugs_the_device_while_two_run(two, start):
    """It is told of both and both can be rung by it, and it by them."""
    host, vms, ids, _, server = two
    third = start.vm(vectors=N_VECTORS, ports=1, name="vm2")
    ring_a_newcomer(host, vms, ids, server, third)


def test_guests_do_not_notice_crashes_and_take_overs(start):
    """Two ping each other's doorbells while worker after worker is killed, and server after server
    taken over; a third one joins afterwards, and rings and is rung by both."""
    server = start.server(n_vectors=N_VECTORS, controlled=True)
    server.expected += ["the worker was killed by signal 9", "another process has taken over"]
    host = start.peer(server)
    vms = [start.vm(server.socket, vectors=N_VECTORS, name=f"vm{i}") for i in range(2)]
    third = start.vm(vectors=N_VECTORS, ports=1, name="vm2")  # boots meanwhile
    ids = [int(vm.device()[0]) for vm in vms]
    for peer in ids:
        host.until_told(peer)
    check_first_waits(vms)
    kill = Kill(server, random.Random())
    take_over = TakeOver(server, random.Random())
    for _ in range(N_TAKE_OVERS):
        disturb_pings(vms, ids, kill, N_KILLS // N_TAKE_OVERS)
        disturb_pings(vms, ids, take_over, 1)
    assert server.errors().count("the worker was killed") == kill.n >= N_KILLS
    assert server.errors().count("another process has taken over") == take_over.n >= N_TAKE_OVERS
    host.drain()
    assert set(host.peers) == set(ids) and not host.gone
    ring_a_newcomer(host, vms, ids, server, third)


def disturb_pings(vms, ids, disturb, n_times):
    """Disturbs the server so often while the two are in the middle of pings."""
    rounds, n_during = 500, 0
    for _ in range(3 * n_times + 3):
        vms[1].send(f"pong {ids[0]} 0 {rounds} {WAIT_MS}")
        vms[0].send(f"ping {ids[1]} 0 {rounds} {WAIT_MS}")
        disturb()
        is_during = not select.select([vms[0].agent], [], [], 0)[0]
        assert float(vms[0].reply()[0]) > 0
        assert vms[1].reply() == []
        n_during += is_during
        if n_during == n_times:
            return
        rounds *= 1 if is_during else 2
    raise AssertionError(f"only {n_during} of {n_times} times while they pinged")


def ring_a_newcomer(host, vms, ids, server, third):
    """A machine without a device gets one; it and those that are there ring each other."""
    third.ready()
    third.call("load")
    third.plug(server.socket, N_VECTORS)
    host.until(lambda: len(host.peers) == 3)
    (peer,) = set(host.peers) - set(ids)
    host.until_told(peer)
    assert open_plugged(third)[0] == str(peer)
    for vector in range(N_VECTORS):
        assert third.call(f"wait {vector} 0") == ["1"]
        for vm, other in zip(vms, ids):
            vm.call(f"wait {vector} 0")
            third.send(f"wait {vector} {WAIT_MS}")
            vm.call(f"ring {peer} {vector}")
            assert third.reply() == ["1"]
            vm.send(f"wait {vector} {WAIT_MS}")
            third.call(f"ring {other} {vector}")
            assert vm.reply() == ["1"]


def open_plugged(vm):
    """Waits for the guest's kernel to find the device, binds and opens it."""
    vm.call(f"appear {WAIT_MS}")
    vm.call("bind")
    return vm.call("open")
