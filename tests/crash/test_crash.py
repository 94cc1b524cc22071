# SPDX-License-Identifier: MIT
"""A server that is killed, taken over and restarted at random while 50 clients come, go, stall and
ring each other: nothing is lost, repeated or out of order for any of them, and nothing is left over."""

import os
import random

import pytest
from crowd import Crowd
from disturbances import LEAVES, Kill, Mixed, Restart, TakeOver, TakeOverKilled
from manager import Manager
from serve import eventually

N_CLIENTS = 50
N_VECTORS = 4
MANY = 300
KILLED = "the worker was killed by signal 9"
FAILED = "the take-over failed when"
ROUND = 25  # disturbances between two looks at everything


@pytest.fixture(name="choose")
def fixture_choose():
    """The source of all that is random, of a seed that is shown."""
    seed = int(os.environ.get("CRASH_SEED", random.randrange(1 << 32)))
    print("CRASH_SEED", seed)
    return random.Random(seed)


def times(everyday, long):
    """How often to disturb."""
    return long if os.environ.get("IVSHMEM_LONG") else everyday


def disturb_and_check(server, disturb, choose, n_times):
    """Disturbs the server so often, in whole rounds, and looks at everything after each."""
    assert n_times % ROUND == 0
    with Crowd(server, N_CLIENTS, choose.randrange(1, 1 << 63)) as crowd:
        for i in range(n_times):
            disturb()
            crowd.check()
            if i % ROUND == ROUND - 1:
                seen = crowd.settle()
                crowd.check_descriptors(server.process.pid, seen["clients"])
                crowd.go_on()
    print(seen)
    assert seen["joins"] > n_times and seen["rings"] > n_times


def test_worker_killed_among_many(serve, choose):
    """What the next one does depends on how many there are, down to the system calls."""
    server = serve(n_vectors=1)
    server.expected.append(KILLED)
    with Crowd(server, MANY, choose.randrange(1, 1 << 63), "silent") as crowd:
        eventually(lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) > 2 * MANY * 9 // 10,
                   timeout=60, what="a crowd")
        kill = Kill(server, choose)
        for _ in range(3):
            kill()
            seen = crowd.settle()
            crowd.check_descriptors(server.process.pid, seen["clients"])
            crowd.go_on()
    assert server.errors().count(KILLED) == kill.n == 3


def test_worker_killed_at_random(serve, choose):
    server = serve(n_vectors=N_VECTORS)
    server.expected.append(KILLED)
    disturb = Kill(server, choose)
    n_times = times(300, 10000)
    disturb_and_check(server, disturb, choose, n_times)
    assert server.errors().count(KILLED) == disturb.n == n_times


def test_server_taken_over_at_random(serve, choose):
    server = serve(n_vectors=N_VECTORS, controlled=True)
    server.expected.append(LEAVES)
    disturb = TakeOver(server, choose)
    disturb_and_check(server, disturb, choose, times(75, 3000))
    assert server.errors().count(LEAVES) == disturb.n


def test_successor_killed_at_random(serve, choose):
    server = serve(n_vectors=N_VECTORS, controlled=True)
    server.expected += [LEAVES, FAILED]
    disturb = TakeOverKilled(server, choose)
    n_times = times(75, 3000)
    disturb_and_check(server, disturb, choose, n_times)
    assert server.errors().count(LEAVES) == disturb.n_late
    assert disturb.n > n_times / 2 and server.errors().count(FAILED) > n_times / 10


def test_server_killed_and_taken_over_at_random(serve, choose):
    server = serve(n_vectors=N_VECTORS, controlled=True)
    server.expected += [KILLED, LEAVES]
    disturb = Mixed(choose, Kill(server, choose), TakeOver(server, choose))
    disturb_and_check(server, disturb, choose, times(75, 3000))
    assert [server.errors().count(line) for line in [KILLED, LEAVES]] == disturb.n


@pytest.fixture(name="manager")
def fixture_manager(stack):
    return stack.enter_context(Manager())


@pytest.fixture(name="service")
def fixture_service(serve, manager):
    server = serve(n_vectors=N_VECTORS, manager=manager, more=["--fd-store"])
    manager.hear("READY=1")
    server.fds_at_start = server.n_fds()
    return server


def test_service_restarted_at_random(service, choose, manager):
    disturb_and_check(service, Restart(service, choose, manager), choose, times(50, 3000))


def test_service_killed_and_restarted_at_random(service, choose, manager):
    service.expected.append(KILLED)
    disturb = Mixed(choose, Kill(service, choose), Restart(service, choose, manager))
    disturb_and_check(service, disturb, choose, times(75, 3000))
    assert service.errors().count(KILLED) == disturb.n[0]
