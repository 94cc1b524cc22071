# SPDX-License-Identifier: MIT
"""The service manager's store of descriptors: a restart of the service cuts nobody."""

import os
import signal
import socket
import subprocess
import threading

import pytest
from actor import Actor
from manager import Manager
from peer import Peer, fds_unread, settle
from serve import Server, children, eventually, server_program

N_VECTORS = 2
TIMEOUT = 20.0


@pytest.fixture(name="manager")
def fixture_manager(stack):
    return stack.enter_context(Manager())


@pytest.fixture(name="service", params=[[], ["--no-keeper"]], ids=["keeper", "alone"])
def fixture_service(manager, stack, request):
    return stack.enter_context(Server(manager=manager, n_vectors=N_VECTORS,
                                      more=["--memfd", "--fd-store", *request.param]))


def connect(stack, server):
    return stack.enter_context(Peer(server.socket, N_VECTORS))


def test_restart_cuts_nobody(manager, service, stack):
    peers = [connect(stack, service).setup() for _ in range(4)]
    settle(peers)
    before = [len(peer.history) for peer in peers]
    inode = os.stat(service.socket).st_ino
    for _ in range(3):
        manager.restart(service)
        assert os.stat(service.socket).st_ino == inode
        manager.hear("READY=1")
        eventually(lambda: manager.heard() and not manager.stored, what="nothing in the store")
    assert [len(peer.history) for peer in peers] == before
    newcomer = connect(stack, service).setup()
    settle([*peers, newcomer])
    newcomer.ring(peers[2].id, 1)
    assert peers[2].wait(1)
    peers[0].close()
    newcomer.until_gone(0)


def test_connections_between_two_starts_wait(manager, service, stack):
    peer = connect(stack, service).setup()
    assert manager.end(service) == 0
    waiting = [connect(stack, service) for _ in range(5)]
    service.start()
    settle([peer, *(each.setup() for each in waiting)])


def test_stop_ends_the_clients(manager, service, stack):
    """As a manager does that drops the store."""
    peer = connect(stack, service).setup()
    assert manager.end(service) == 0
    assert manager.stored
    for fd, *_ in manager.stored:
        os.close(fd)
    manager.stored.clear()
    peer.until_hung_up()
    service.start()
    assert connect(stack, service).setup().id == 0


def test_worker_killed_while_it_ends(manager, stack):
    service = stack.enter_context(Server(manager=manager, n_vectors=N_VECTORS,
                                         more=["--memfd", "--fd-store"]))
    peer = connect(stack, service).setup()
    worker, = children(service.process.pid)
    os.kill(worker, signal.SIGSTOP)
    service.process.send_signal(signal.SIGTERM)
    os.kill(worker, signal.SIGKILL)
    manager.restart(service)
    settle([peer, connect(stack, service).setup()])


def test_manager_without_a_store(manager, service, stack, monkeypatch):
    """Nobody takes the descriptors: the clients are told by the end of their connections."""
    monkeypatch.setattr(manager, "_store", lambda values, fds: [os.close(fd) for fd in fds])
    peer = connect(stack, service).setup()
    assert manager.end(service) == 0
    peer.until_hung_up()


def hold_on_their_way(said, n):
    """Has descriptors on their way until it is killed."""
    here, _there = socket.socketpair()
    for _ in range(n // 250):
        socket.send_fds(here, [b"x"], [here.fileno()] * 250)
    said.send("held")
    said.asked(TIMEOUT)


def test_too_many_on_their_way_for_a_moment(manager, stack, unprivileged):
    """Those of all processes of the user count together."""
    user = ["--user", f"{unprivileged}:{unprivileged}"] if os.geteuid() == 0 else []
    service = stack.enter_context(Server(manager=manager, n_vectors=N_VECTORS, nofile=600,
                                         more=["--memfd", "--fd-store", *user]))
    peer = connect(stack, service).setup()
    other = stack.enter_context(Actor(hold_on_their_way, 1000, uid=unprivileged))
    assert other.hear() == "held"
    timer = threading.Timer(0.5, os.kill, [other.pid, signal.SIGKILL])
    timer.start()
    manager.restart(service)
    timer.join()
    settle([peer, connect(stack, service).setup()])


def test_clients_that_do_not_read_hold_all_they_can(manager, stack, unprivileged):
    """What they have not read counts together with what is stored."""
    user = ["--user", f"{unprivileged}:{unprivileged}"] if os.geteuid() == 0 else []
    service = stack.enter_context(Server(manager=manager, n_vectors=N_VECTORS, nofile=1000,
                                         more=["--memfd", "--fd-store", *user]))
    peer = connect(stack, service).setup()
    stallers = [connect(stack, service) for _ in range(80)]
    peer.until(lambda: len(peer.peers) == len(stallers))
    eventually(lambda: fds_unread(stallers) > 300, what="a lot unread")
    manager.restart(service)
    for each in stallers:
        each.setup()
    settle([peer, *stallers])


def test_failed_start_leaves_the_store(manager, service, stack):
    """Too few descriptors for all: refused, and the next start has everything."""
    peers = [connect(stack, service).setup() for _ in range(30)]
    settle(peers)
    assert manager.end(service) == 0
    command = manager.command(["prlimit", "--nofile=60:60", server_program(), *service.arguments])
    done = subprocess.run(command, env=manager.environment(), close_fds=False, capture_output=True,
                          text=True, timeout=20, check=False)
    assert done.returncode == 1 and "descriptors for us" in done.stderr, done.stderr
    manager.heard()
    service.start()
    settle([*peers, connect(stack, service).setup()])


def test_interrupt_is_an_end(manager, service, stack):
    """SIGINT is no service manager's."""
    peer = connect(stack, service).setup()
    assert manager.end(service, signal.SIGINT) == 0
    assert not manager.stored
    peer.until_hung_up()
