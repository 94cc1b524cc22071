# SPDX-License-Identifier: MIT
"""A worker that is stopped and killed at a chosen step of what it does: before and after each system
call, and at each instruction that changes what outlives it (steps-main.c)."""

import json
import os
import random
import subprocess

import pytest
from built import built

LONG = bool(os.environ.get("IVSHMEM_LONG"))
TIMEOUT = 20000 if LONG else 300
VECTORS = {"flush": 64}  # so that a few peers fill a socket; 2 otherwise

# Every how manieth step a worker is killed at. What has few steps is done in full at any time.
CALLS = {"join": 1, "departure": 1, "flush": 1, "recovery": 1 if LONG else 4}
STORES = {"join": 1, "departure": 1, "flush": 1, "recovery": 3} if LONG else {
    "join": 12, "departure": 6, "flush": 40}


@pytest.fixture(name="kill_at_steps")
def fixture_kill_at_steps(serve):
    """Kills a server's worker in a scene, at every nth step, the first of them chosen at random."""
    assert os.geteuid() == 0, "only root may stop a process that has dropped its privileges"

    def run(scene, kind, every, more=()):
        server = serve(n_vectors=VECTORS.get(scene, 2), size="64K",
                       more=["--max-clients", "16", *more])
        server.expected.append("the worker was killed by signal 9")
        first = random.randint(1, every)
        done = subprocess.run(
            [built("tests/crash/crash-steps"), str(server.process.pid), server.socket,
             str(server.n_vectors), scene, kind, str(first), str(every)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        print(f"first: {first}\n{done.stdout}")
        assert done.returncode == 0, f"{done.stderr} (first {first}, every {every})"
        seen = json.loads(done.stdout.splitlines()[-1])
        assert seen["killed"] >= (seen["steps"] - first) // every > 0
        assert server.errors().count("the worker was killed") >= seen["killed"]

    return run


@pytest.mark.parametrize("scene", CALLS)
def test_killed_before_and_after_each_call(kill_at_steps, scene):
    kill_at_steps(scene, "calls", CALLS[scene])


@pytest.mark.parametrize("scene", STORES)
def test_killed_at_each_store(kill_at_steps, scene):
    """Without the sandbox, of which a recovery would spend a million instructions on the making."""
    kill_at_steps(scene, "stores", STORES[scene], more=["--sandbox", "none"])
