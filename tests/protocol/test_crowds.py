# SPDX-License-Identifier: MIT
"""Many clients: at once, one after the other, and more than there are IDs."""

import time

import pytest
from peer import MAX_ID, Peer, eventfd_id, read_all, settle
from serve import eventually, is_sanitized

GROWTH = 100000 if is_sanitized() else 150  # KiB: two sets of 65536 IDs, and the allocator's slack
FEW_LEFT = "of 65536 IDs are used up"
NONE_LEFT = "no unused ID is left"


def test_two_hundred_at_once(serve, connect):
    server = serve()
    peers = [connect(server, keep=False) for _ in range(200)]
    settle(peers, timeout=30)
    assert sorted(peer.id for peer in peers) == list(range(200))
    for peer in peers[50:150]:
        peer.close()
    rest = peers[:50] + peers[150:]
    settle(rest, timeout=30)
    assert all(peer.gone == set(range(50, 150)) for peer in rest)


def test_every_eventfd_in_a_crowd_is_its_owners(serve, connect):
    server = serve(n_vectors=2)
    peers = [connect(server) for _ in range(40)]
    settle(peers)
    for owner in peers:
        mine = [eventfd_id(fd) for fd in owner.vectors]
        for peer in peers:
            if peer is not owner:
                assert [eventfd_id(fd) for fd in peer.peers[owner.id]] == mine


def test_storms(serve, connect):
    server = serve(n_vectors=4)
    stay = [connect(server, keep=False).setup() for _ in range(2)]
    for round_ in range(15):
        storm = [connect(server, keep=False) for _ in range(40)]
        if round_ % 3 == 0:
            settle([*stay, *storm])
        elif round_ % 3 == 1:
            for peer in storm:
                peer.setup()
        for peer in storm:
            peer.close()
    settle(stay)


def followed_all_along(server, stays, n):
    """Clients that come one after the other and leave in every state, beside one that stays."""
    for number in range(n):
        with Peer(server.socket, server.n_vectors) as peer:
            way = number % 6
            if way == 1:
                peer.read()
            elif way == 2:
                peer.until(lambda: peer.memory >= 0)
            elif way == 3:
                peer.socket.send(b"x")
            elif way:
                peer.setup()
                assert 0 in peer.present
        if number % 20 == 0:
            stays.drain()


@pytest.mark.parametrize("n", [10000, pytest.param(100000, marks=pytest.mark.long)])
def test_ends_where_it_began(serve, connect, n):
    server = serve()
    server.expected += [FEW_LEFT, NONE_LEFT]
    stays = connect(server, keep=False).setup()
    followed_all_along(server, stays, 500)
    n_fds, resident = server.fds_at_start + 2, server.resident()
    followed_all_along(server, stays, n)
    settle([stays])
    eventually(lambda: server.n_fds() <= n_fds, what="its number of descriptors")
    assert server.resident() - resident <= GROWTH


@pytest.mark.long
def test_more_clients_than_ids_beside_one_that_stays(serve, connect):
    """An ID is used up when the one that stays has heard of it. When there are no more, newcomers
    get an ID of which he is not told; nobody is ever told of an ID again."""
    server = serve()
    server.expected += [FEW_LEFT, NONE_LEFT]
    stays = connect(server, keep=False).setup()
    began = time.monotonic()
    warned_at = None
    for n in range(1, 70001):
        with Peer(server.socket, server.n_vectors) as peer:
            assert peer.setup().present == {0}
            if n <= MAX_ID:
                assert peer.id == n
                stays.until_told(n)
        if n <= MAX_ID:
            stays.until_gone(n)
        if warned_at is None and n % 1000 == 0 and FEW_LEFT in server.errors():
            warned_at = n
    assert time.monotonic() - began < 300
    # Two newcomers know each other and him, and he hears of neither.
    late = [connect(server).setup(), connect(server).setup()]
    ids = {0, *(peer.id for peer in late)}
    read_all(late, lambda: all(peer.peers.keys() == ids - {peer.id} for peer in late))
    stays.drain()
    assert stays.gone == set(range(1, MAX_ID + 1)) and not stays.peers
    assert 0.79 * MAX_ID < warned_at < 0.83 * MAX_ID
    assert server.errors().count(FEW_LEFT) == 1
    assert NONE_LEFT in server.errors()
