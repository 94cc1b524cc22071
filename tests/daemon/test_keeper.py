# SPDX-License-Identifier: MIT
"""A worker that is killed: its clients see nothing, and the next one goes on to the message."""

import contextlib
import os
import pathlib
import random
import resource
import signal
import socket
import time

import pytest
from built import built
from peer import ring_each_other, settle
from serve import children, eventually, is_sanitized, kill_if_there, mapped_states, name_of, standby, started_by, state, status_of

N_VECTORS = 3
SERIES = 20  # workers killed in a row after which no more are started
MAX_CLIENTS = 32  # where StateHeader has that
STANDBYS = 3  # that are killed while they stand by, after which there is none for this worker


@pytest.fixture(name="kept")
def fixture_kept(serve):
    server = serve(n_vectors=N_VECTORS)
    server.expected.append("the worker was killed")
    return server


def worker_of(server):
    return eventually(lambda: children(server.process.pid), what="a worker")[0]


def standby_of(server):
    return eventually(lambda: standby(server.process.pid), what="a process that stands by")


def limit_fds(server, most):
    """Whoever goes on, and the keeper, has so many descriptors at most. Gives what undoes it."""
    pids = [standby_of(server), server.process.pid]
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, limits[1]))
    return lambda: resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)


def kill_worker(server):
    os.kill(worker_of(server), signal.SIGKILL)


def test_client_sees_nothing(kept, connect):
    peers = [connect(kept).setup() for _ in range(3)]
    settle(peers)
    before = [len(peer.history) for peer in peers]
    first = worker_of(kept)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: worker_of(kept) != first, what="another worker")
    newcomer = connect(kept).setup()
    eventually(lambda: None not in started_by(kept.process.pid).values(), what="the dead one reaped")
    settle([*peers, newcomer])
    assert [len(peer.history) - n for peer, n in zip(peers, before)] == [N_VECTORS] * 3
    ring_each_other([*peers, newcomer], N_VECTORS - 1)
    newcomer.close()
    for peer in peers:
        peer.until_gone(newcomer.id)


def test_connections_that_wait_are_served_by_the_next(kept, connect):
    kept.pause()
    waiting = [connect(kept) for _ in range(20)]
    os.kill(worker_of(kept), signal.SIGKILL)
    os.kill(kept.process.pid, signal.SIGCONT)
    for peer in waiting:
        peer.setup()
    settle(waiting)


def test_ends_while_there_is_no_worker(kept, connect):
    """They are noticed, though the next worker does not look at all clients in its first turn."""
    stays = [connect(kept).setup() for _ in range(2)]
    goes = [connect(kept, keep=False).setup() for _ in range(150)]
    ids = [peer.id for peer in goes]
    for peer in stays:
        for i in ids:
            peer.until_told(i)
    kept.pause()
    os.kill(worker_of(kept), signal.SIGKILL)
    for peer in goes:
        peer.close()
    os.kill(kept.process.pid, signal.SIGCONT)
    for peer in stays:
        for i in ids:
            peer.until_gone(i)
    settle([*stays, connect(kept).setup()])
    ring_each_other(stays, N_VECTORS - 1)


def test_next_knows_of_a_thousand_that_have_gone(kept, connect):
    """Of 1,024 IDs that a client has seen go, the state says so in one bit. None of them comes back."""
    stays = connect(kept, keep=False).setup()
    for n in range(1, 2101):
        with connect(kept, keep=False) as peer:
            assert peer.setup().id == n
            stays.until_told(n)
        stays.until_gone(n)
        if n in (1023, 1500, 2048):
            kill_worker(kept)
    late = connect(kept).setup()
    settle([stays, late])
    assert late.id == 2101 and stays.gone == set(range(1, 2101))
    stays.close()
    late.until_gone(0)
    assert connect(kept).setup().id == 1, "whoever knew it has left"


def test_next_one_stands_by(kept, connect):
    """It is there before it is needed, and goes on when it is."""
    peers = [connect(kept).setup() for _ in range(2)]
    for _ in range(3):
        waits = standby_of(kept)
        kill_worker(kept)
        eventually(lambda waits=waits: worker_of(kept) == waits, what="the one that stood by at work")
        peers.append(connect(kept).setup())
    settle(peers)
    ring_each_other(peers, N_VECTORS - 1)


def test_standby_that_is_killed(kept, connect):
    """Nobody needs it: there is another one, and after a few there is none, until a worker has ended."""
    kept.expected.append("3 processes that stood by for the worker have ended")
    peer = connect(kept).setup()
    worker = worker_of(kept)
    for _ in range(STANDBYS):
        pid = standby_of(kept)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: pid not in started_by(kept.process.pid), what="it reaped")
    time.sleep(0.6)  # more than twice what it takes to make one
    assert standby(kept.process.pid) is None and worker_of(kept) == worker
    kill_worker(kept)
    settle([peer, connect(kept).setup()])
    standby_of(kept)


def test_worker_and_standby_killed_at_once(kept, connect):
    peer = connect(kept).setup()
    for pid in (standby_of(kept), worker_of(kept)):
        os.kill(pid, signal.SIGKILL)
    settle([peer, connect(kept).setup()])


def test_standby_ends_with_its_keeper(kept, connect):
    """Otherwise it would hold everything open when the worker ends."""
    peer = connect(kept).setup()
    kept.expected.append("the keeper has ended")
    waits, worker = standby_of(kept), worker_of(kept)
    os.kill(kept.process.pid, signal.SIGKILL)
    kept.process.wait(10)
    eventually(lambda: name_of(waits) is None, what="its end")
    kill_if_there(worker)
    peer.until_hung_up()
    kept.process = None


def test_signal_for_the_standby_is_not_kept_for_the_worker(kept, connect):
    """It ends it, as any process. The next worker must not find it and end the server."""
    kept.expected.append("the worker was killed")
    peers = [connect(kept).setup()]
    for number in (signal.SIGTERM, signal.SIGINT):
        waits = standby_of(kept)
        os.kill(waits, number)
        eventually(lambda waits=waits: waits not in started_by(kept.process.pid), what="its end")
        kill_worker(kept)
        peers.append(connect(kept).setup())
        settle(peers)


def test_standby_that_is_stopped_goes_on_when_it_is_needed(kept, connect):
    peer = connect(kept).setup()
    waits = standby_of(kept)
    os.kill(waits, signal.SIGSTOP)
    eventually(lambda: state(waits) == "T", what="it stopped")
    kill_worker(kept)
    settle([peer, connect(kept).setup()])
    assert worker_of(kept) == waits


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer's own library must be loaded first")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_that_is_asked_for_while_the_next_worker_steps_forward(serve, connect, monkeypatch, number):
    """The signal waits until it is the worker; before, it would be killed by it."""
    monkeypatch.setenv("LD_PRELOAD", str(built("tests/daemon/late.so")))
    kept = serve(n_vectors=1)
    monkeypatch.delenv("LD_PRELOAD")
    peer = connect(kept).setup()
    waits = standby_of(kept)
    eventually(lambda: state(waits) == "S", what="it stands by")
    kill_worker(kept)
    eventually(lambda: state(waits) == "R", what="it is on its way")
    assert kept.stop(number) == 0
    assert kept.errors().count("the worker was killed") == 1
    peer.until_hung_up()


def test_signals_do_not_keep_the_standby_away(kept):
    """Each wakes the keeper, which has things to do once the worker has settled."""
    def still_none():
        kept.process.send_signal(signal.SIGHUP)
        return standby(kept.process.pid)

    eventually(still_none, what="a process that stands by")


def test_standby_is_called_so_from_the_start(serve):
    """Nobody is to take it for a worker. The looks fall into the moment in which it is made."""
    server = serve(n_vectors=1)
    first = worker_of(server)
    while standby(server.process.pid) is None:
        assert set(children(server.process.pid)) == {first}


def test_keeper_whose_parent_ignores_the_end_of_children(serve, connect, monkeypatch):
    """It would not be told that the worker has ended."""
    monkeypatch.setattr("serve.Server._set_limit",
                        lambda _: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    kept = serve(n_vectors=1)
    kept.expected.append("the worker was killed")
    peer = connect(kept).setup()
    kill_worker(kept)
    settle([peer, connect(kept).setup()])


def test_standby_is_confined_and_holds_nothing_back(kept):
    """It is as confined as a worker, and gone when the server has ended."""
    waits = standby_of(kept)
    assert status_of(waits, "CapEff") == "0000000000000000" and status_of(waits, "NoNewPrivs") == "1"
    if not is_sanitized():
        eventually(lambda: status_of(waits, "Seccomp_filters") ==
                   status_of(worker_of(kept), "Seccomp_filters"), what="the worker's filter")
    assert kept.stop() == 0
    assert name_of(waits) is None


def test_standby_has_the_state_mapped(kept, connect, stack):
    """What is in use of it, also what has come after it began to stand by."""
    waits, worker = standby_of(kept), worker_of(kept)
    before = eventually(lambda: sum(mapped_states(waits)), what="the state, mapped")
    for _ in range(600):  # more than 64 KiB of records
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(kept.socket))
    eventually(lambda: sum(mapped_states(waits)) > before + (64 << 10), what="the new part, mapped")
    kill_worker(kept)
    eventually(lambda: worker_of(kept) != worker, what="another worker")
    connect(kept).setup()
    assert len(mapped_states(worker_of(kept))) == 1


def test_header_that_is_damaged_under_whoever_stands_by(serve, connect):
    """A state that is mapped already is looked at as any other."""
    kept = serve(n_vectors=N_VECTORS)
    kept.expected += ["the worker was killed by signal 9", "the state is damaged"]
    peer = connect(kept).setup()
    waits, worker = standby_of(kept), worker_of(kept)
    eventually(lambda: mapped_states(waits), what="the state, mapped")
    folder = pathlib.Path(f"/proc/{worker}/fd")
    state_fd, = [path for path in folder.iterdir() if "memfd:ivshmem-state" in os.readlink(path)]
    with open(state_fd, "r+b", buffering=0) as file:
        os.pwrite(file.fileno(), b"\xff" * 4, MAX_CLIENTS)
    os.kill(worker, signal.SIGKILL)
    peer.until_hung_up()
    assert "signal 11" not in kept.errors()
    for path in (kept.socket, pathlib.Path("/dev/shm", kept.name)):  # nobody can tell that they are ours
        path.unlink()


def test_killed_again_and_again(kept, connect):
    """Clients come, go, stall and ring while worker after worker is killed; each is followed, message
    by message. What is left at the end is right, and no descriptor is left over."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    choose = random.Random(seed)
    stays = [connect(kept).setup() for _ in range(4)]
    guests = []
    rounds = 4000 if os.environ.get("IVSHMEM_LONG") else 40
    for _ in range(rounds):
        deadline = time.monotonic() + choose.uniform(0.26, 0.3)  # past what counts as a series
        while time.monotonic() < deadline:
            what = choose.random()
            if what < 0.4 and len(guests) < 20:
                guests.append(connect(kept, keep=False))
            elif what < 0.7 and guests:
                guests.pop(choose.randrange(len(guests))).close()
            elif guests:
                choose.choice(guests).drain()
            choose.choice(stays).drain()
        kill_worker(kept)
    for guest in guests:
        guest.setup()
    settle([*stays, *guests])
    ring_each_other(stays, N_VECTORS - 1)
    for peer in [*stays, *guests]:
        peer.close()
    eventually(lambda: kept.n_fds() <= kept.fds_at_start, what="its descriptors as at the start")


def test_next_worker_lacks_descriptors(kept, connect):
    """It closes nothing; one that comes when there are some again goes on."""
    kept.expected += ["Too many open files", "the worker could not go on"]
    peers = [connect(kept).setup() for _ in range(3)]
    settle(peers)
    undo = limit_fds(kept, 5)
    kill_worker(kept)
    eventually(lambda: kept.errors().count("Too many open files") > 1, what="a second try")
    undo()
    settle([*peers, connect(kept).setup()])
    ring_each_other(peers, N_VECTORS - 1)


def test_next_worker_lacks_a_descriptor_for_a_region(kept, connect):
    """It has one for its loop and one more: that is too few for a region, and no reason to give the
    region up."""
    peers = [connect(kept).setup() for _ in range(3)]
    settle(peers)
    open_fds = {int(name) for name in os.listdir(f"/proc/{kept.process.pid}/fd")}
    second_free = sorted(set(range(len(open_fds) + 2)) - open_fds)[1]
    kept.expected += ["Too many open files", "the worker could not go on"]
    undo = limit_fds(kept, second_free + 1)
    kill_worker(kept)
    eventually(lambda: "cannot go on from the state" in kept.log(), what="a worker that lacks one")
    undo()
    newcomer = connect(kept).setup()
    settle([*peers, newcomer])
    ring_each_other([*peers, newcomer], N_VECTORS - 1)


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer's own library must be loaded first")
def test_next_worker_cannot_sort_out(serve, connect, monkeypatch):
    """It has come up, and cannot look at what is open. It leaves no descriptors, of which there are
    enough for one worker more than the first."""
    module = built("tests/daemon/no-status.so")
    monkeypatch.setenv("LD_PRELOAD", str(module))
    monkeypatch.setenv("NO_STATUS", "3")  # that of the second worker
    kept = serve(n_vectors=N_VECTORS)
    monkeypatch.delenv("LD_PRELOAD")
    kept.expected += ["the worker was killed", "Too many open files", "the worker could not go on"]
    peers = [connect(kept).setup() for _ in range(3)]
    settle(peers)
    undo = limit_fds(kept, kept.n_fds() + 10)
    kill_worker(kept)
    eventually(lambda: kept.errors().count("cannot list the open descriptors") == 4, what="four tries")
    undo()
    newcomer = connect(kept).setup()
    settle([*peers, newcomer])
    ring_each_other([*peers, newcomer], N_VECTORS - 1)


def test_end_that_a_killed_worker_was_asked_for(kept, connect):
    peer = connect(kept).setup()
    worker = worker_of(kept)
    os.kill(worker, signal.SIGSTOP)
    kept.process.send_signal(signal.SIGTERM)
    eventually(lambda: pending(worker, signal.SIGTERM), what="the signal at the worker")
    os.kill(worker, signal.SIGKILL)
    assert kept.process.wait(10) == 0
    kept.process = None
    assert not kept.socket.exists()
    peer.until_hung_up()


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer ignores mlock()")
def test_record_of_what_is_sent_stays_in_memory(kept):
    assert locked_memory(worker_of(kept)) > 0
    kill_worker(kept)
    eventually(lambda: locked_memory(worker_of(kept)) > 0, what="locked memory")


def locked_memory(pid):
    """Its size in KiB; a process that has ended has none."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return sum(int(line.split()[1]) for line in status if line.startswith("VmLck:"))


def pending(pid, number):
    """Whether the signal waits for the process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        bits, = (int(line.split()[1], 16) for line in status if line.startswith("ShdPnd:"))
    return bits >> (number - 1) & 1


def test_gives_up_and_holds_everything(kept, connect):
    """A worker that dies at once, again and again."""
    peers = [connect(kept).setup() for _ in range(2)]
    settle(peers)
    kept.expected.append("no more are started")

    def gives_up():
        for worker in children(kept.process.pid):
            with contextlib.suppress(ProcessLookupError):  # it was killed the time before
                os.kill(worker, signal.SIGKILL)
        return "no more are started" in kept.errors()

    eventually(gives_up, timeout=60, what="that it gives up")
    # On a busy machine a worker may live so long before it is killed that the series begins again.
    assert kept.errors().count(f" ({SERIES} in a row)") == 1
    ring_each_other(peers, N_VECTORS - 1)
    assert not any(peer.closed(timeout=0) for peer in peers)
    assert kept.stop(signal.SIGTERM) == 0
    assert not kept.socket.exists()
    for peer in peers:
        peer.until_hung_up()


def test_worker_goes_on_without_its_keeper(kept, connect):
    peer = connect(kept).setup()
    worker = worker_of(kept)
    os.kill(kept.process.pid, signal.SIGKILL)
    kept.process.wait(10)
    kept.expected.append("the keeper has ended")
    eventually(lambda: "the keeper has ended: this worker serves on" in kept.errors(), what="a line of it")
    settle([peer, connect(kept).setup()])
    os.kill(worker, signal.SIGTERM)
    eventually(lambda: not kept.socket.exists(), what="the worker's end")
    kept.process = None


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer's own library must be loaded first")
def test_worker_that_begins_without_its_keeper(serve, connect, monkeypatch):
    """The keeper is killed before the worker can watch it."""
    module = built("tests/daemon/orphan.so")
    monkeypatch.setenv("LD_PRELOAD", str(module))
    kept = serve(n_vectors=N_VECTORS)
    monkeypatch.delenv("LD_PRELOAD")
    kept.expected += ["the worker was killed", "the keeper has ended"]
    peer = connect(kept).setup()
    first = worker_of(kept)
    os.kill(first, signal.SIGKILL)
    second = eventually(lambda: set(children(kept.process.pid)) - {first}, what="another worker").pop()
    os.kill(kept.process.pid, signal.SIGKILL)
    kept.process.wait(10)
    eventually(lambda: "the keeper has ended: this worker serves on" in kept.errors(), what="a line of it")
    settle([peer, connect(kept).setup()])
    os.kill(second, signal.SIGTERM)
    eventually(lambda: not kept.socket.exists(), what="the worker's end")
    kept.process = None
