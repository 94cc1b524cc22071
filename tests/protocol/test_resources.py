# SPDX-License-Identifier: MIT
"""What a server uses, and what it does when there is no more: descriptors, descriptors on their way,
time."""

import contextlib
import os
import resource
import time

import pytest
from actor import Actor
from peer import read_all, settle
from serve import eventually, has_keeper


@contextlib.contextmanager
def no_work(server, seconds=1.0, at_most=0.02):
    """The server must not use more processor time than this while the block runs and so long."""
    before = server.cpu()
    began = time.monotonic()
    yield
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))  # what is measured is this time
    assert server.cpu() - before < at_most, f"seconds of work in {seconds} s"


@pytest.mark.parametrize("n_clients", [0, 5])
def test_idle_server_is_never_woken(serve, connect, n_clients):
    server = serve(n_vectors=2)
    peers = [connect(server).setup() for _ in range(n_clients)]
    if peers:
        settle(peers)
    with no_work(server, seconds=0.2):
        pass
    if has_keeper(server.program):
        server.await_last_start()
    before = server.wake_ups()
    time.sleep(2)  # what is measured is this time
    assert server.wake_ups() == before


def test_client_that_does_not_read_costs_no_time(serve, connect):
    server = serve(n_vectors=64)
    slow = connect(server)
    others = [connect(server, keep=False).setup() for _ in range(8)]
    read_all(others, lambda: all(len(peer.peers) == 8 and peer.settled for peer in others))
    with no_work(server):
        pass
    settle([slow, *others])


# Descriptors on their way. The kernel limits them per user, unless it is privileged.

def assert_first_answer_at_once(peer):
    peer.until(lambda: peer.memory >= 0, timeout=2)


@pytest.mark.parametrize("n_vectors", [1, 2])
def test_few_descriptors_and_clients_that_do_not_read(serve, connect, unprivileged, n_vectors):
    server = serve(n_vectors=n_vectors, user=unprivileged, nofile=64)
    slow = [connect(server) for _ in range(8 // n_vectors)]
    reader = connect(server)
    assert_first_answer_at_once(reader)
    reader.setup(timeout=5)
    assert len(reader.present) == len(slow)
    with no_work(server, at_most=0.1):  # it tries again a hundred times a second
        pass
    settle([*slow, reader])


def test_one_limit_and_two_servers_of_one_user(serve, connect, unprivileged):
    """The sum counts: one server may find the allowance used up by the other."""
    hog, server = (serve(n_vectors=1, user=unprivileged, nofile=64) for _ in range(2))
    slow = [connect(hog) for _ in range(8)]
    late = [connect(server) for _ in range(8)]
    settle(late)
    settle(slow)


def test_five_hundred_that_do_not_read(serve, connect, unprivileged):
    server = serve(user=unprivileged, nofile=4096)
    slow = [connect(server, keep=False) for _ in range(500)]
    for n in range(5):
        reader = connect(server, keep=False)
        assert_first_answer_at_once(reader)
        reader.setup(timeout=10)
        assert len(reader.present) >= 500
        if n % 2:
            reader.close()
    read_all(slow[:20], lambda: all(len(peer.peers) == 502 and peer.settled for peer in slow[:20]),
             timeout=30)


# Descriptors that it has

def change_limit(_, pid, limit):
    """Gives the limit as it was."""
    before, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
    return before


@contextlib.contextmanager
def only_more(server, n):
    """The server can open n more descriptors, and no more, in the block. Its own user may do that
    to it; root in a container may not."""
    pid = server.process.pid
    uid = os.stat(f"/proc/{pid}").st_uid
    highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))

    def change(limit):
        for each in server.pids():
            with Actor(change_limit, each, limit, uid=uid if os.geteuid() == 0 else None) as actor:
                before = actor.result()
        return before

    before = change(highest + 1 + n)
    yield
    change(before)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_out_of_descriptors(serve, connect, unprivileged, n):
    """Who cannot be served is turned away; the others are not disturbed, and no time is spent."""
    server = serve(n_vectors=4, user=unprivileged)
    server.expected.append("client refused")
    others = [connect(server).setup() for _ in range(2)]
    settle(others)
    with only_more(server, n), no_work(server):
        for _ in range(20):
            refused = connect(server)
            refused.until_hung_up()
            assert not refused.history
        eventually(lambda: server.errors().count("\n") == 20, what="a line for each")
        lines = server.errors().splitlines()
        assert all(f"pid {os.getpid()}, uid {os.geteuid()}" in line and "descriptors" in line
                   for line in lines)
        # There is room for one when another has left.
        others.pop().close()
        others[0].until_gone(1)
        others.append(connect(server).setup())
        settle(others)
    settle([*others, connect(server).setup()])


def test_waiting_connections_are_served_when_there_are_descriptors_again(
        serve, connect, unprivileged):
    """Their backlog is refused with the one descriptor that is kept, one after the other."""
    server = serve(user=unprivileged)
    server.expected.append("client refused")
    with only_more(server, 0):
        server.pause()
        refused = [connect(server) for _ in range(50)]
        server.resume()
        for peer in refused:
            peer.until_hung_up()
    assert connect(server).setup().id == 0
