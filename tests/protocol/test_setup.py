# SPDX-License-Identifier: MIT
"""What a client is sent first, and that it is what it is said to be: the peers' eventfds, the
memory."""

import fcntl
import os
import resource
import stat

import pytest
from peer import eventfd_id, settle

MESSAGES_FIRST = [(0, False), (0, False), (-1, True)]


def needs_fds(n):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < n:
        pytest.skip(f"this needs a limit of {n} descriptors (ulimit -Hn)")


@pytest.mark.parametrize("n", [1, 2, 64, 2048])
def test_order_and_every_vector(serve, connect, n):
    needs_fds(5 * n)
    server = serve(n_vectors=n)
    first = connect(server).setup()
    assert first.history == MESSAGES_FIRST + [(0, True)] * n
    second = connect(server).setup()
    assert second.history == ([(0, False), (1, False), (-1, True)] + [(0, True)] * n
                              + [(1, True)] * n)
    first.until_told(1)
    assert first.history[3 + n:] == [(1, True)] * n
    for mine, theirs in [(first.vectors, second.peers[0]), (second.vectors, first.peers[1])]:
        assert [eventfd_id(fd) for fd in mine] == [eventfd_id(fd) for fd in theirs]
        assert len({str(eventfd_id(fd)) for fd in mine}) == n, "one eventfd for two vectors"


def test_first_answer_comes_to_whoever_reads_late(serve, connect):
    server = serve()
    late, early = connect(server), connect(server)
    early.setup()
    late.setup()
    assert {late.id, early.id} == {0, 1}


def test_doorbell_reaches_its_owner_and_vector_only(serve, connect):
    server = serve(n_vectors=3)
    peers = [connect(server).setup() for _ in range(3)]
    settle(peers)
    for sender in peers:
        for receiver in peers:
            for vector in range(3):
                sender.ring(receiver.id, vector)
                assert receiver.wait(vector) == 1
                rung = [(p.id, v) for p in peers for v in range(3) if p.wait(v, timeout=0)]
                assert not rung, f"{sender.id} rang {receiver.id}.{vector}, and these were rung"


def test_doorbells_outlive_their_receivers_peers(serve, connect):
    server = serve()
    stays, leaves = connect(server).setup(), connect(server).setup()
    settle([stays, leaves])
    leaves.ring(stays.id, 0)
    leaves.close()
    stays.until_gone(1)
    assert stays.wait(0) == 1


def test_eventfds_never_block(serve, connect):
    server = serve(n_vectors=2)
    peers = [connect(server).setup() for _ in range(2)]
    settle(peers)
    for peer in peers:
        for fd in [*peer.vectors, *peer.peers[1 - peer.id]]:
            assert os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventfd]"
            assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
        with pytest.raises(BlockingIOError):
            os.read(peer.vectors[0], 8)


def test_no_descriptor_of_the_server_outlives_exec(serve, connect):
    server = serve()
    connect(server).setup()
    for pid in server.pids():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if int(fd) > 2:
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                    flags = [int(line.split()[1], 8) for line in info if line.startswith("flags:")]
                assert flags[0] & os.O_CLOEXEC, os.readlink(f"/proc/{pid}/fd/{fd}")


@pytest.mark.parametrize(("size", "n_bytes"), [("4K", 1 << 12), ("4M", 1 << 22), ("64M", 1 << 26)])
def test_memory_is_one_for_all(serve, connect, size, n_bytes):
    server = serve(size=size)
    first, second = connect(server).setup(), connect(server).setup()
    assert os.fstat(first.memory).st_size == n_bytes
    assert fcntl.fcntl(first.memory, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    assert os.path.samestat(os.fstat(first.memory), os.fstat(second.memory))
    assert first.map[:] == bytes(n_bytes), "the memory is not zero at the start"
    for offset in [0, n_bytes // 2, n_bytes - 5]:
        first.map[offset:offset + 5] = b"hello"
        assert second.map[offset:offset + 5] == b"hello"


def test_memory_outlives_the_server(serve, connect):
    server = serve()
    peer = connect(server).setup()
    assert stat.S_ISREG(os.fstat(peer.memory).st_mode)
    peer.map[0] = 42
    assert server.stop() == 0
    assert peer.map[0] == 42
    peer.until_hung_up()
