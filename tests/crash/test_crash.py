# SPDX-License-Identifier: MIT
"""A server that is killed at random while 50 clients come, go, stall and ring each other: nothing is
lost, repeated or out of order for any of them, and nothing is left over."""

import os
import random

import pytest
from crowd import Crowd
from disturbances import Kill
from serve import eventually

N_CLIENTS = 50
N_VECTORS = 4
MANY = 300
ROUND = 25  # disturbances between two looks at everything


@pytest.fixture(name="choose")
def fixture_choose():
    """The source of all that is random, of a seed that is shown."""
    seed = int(os.environ.get("CRASH_SEED", random.randrange(1 << 32)))
    print("CRASH_SEED", seed)
    return random.Random(seed)


def disturb_and_check(server, disturb, choose, n_times):
    """Disturbs the server so often, and looks at everything now and then."""
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
    server.expected.append("the worker was killed by signal 9")
    with Crowd(server, MANY, choose.randrange(1, 1 << 63), "silent") as crowd:
        eventually(lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) > 2 * MANY * 9 // 10,
                   timeout=60, what="a crowd")
        kill = Kill(server, choose)
        for _ in range(3):
            kill()
            seen = crowd.settle()
            crowd.check_descriptors(server.process.pid, seen["clients"])
            crowd.go_on()
    assert server.errors().count("the worker was killed") == kill.n == 3


def test_worker_killed_at_random(serve, choose):
    server = serve(n_vectors=N_VECTORS)
    server.expected.append("the worker was killed by signal 9")
    n_times = 10000 if os.environ.get("IVSHMEM_LONG") else 300
    disturb = Kill(server, choose)
    disturb_and_check(server, disturb, choose, n_times)
    assert server.errors().count("the worker was killed") == disturb.n == n_times
