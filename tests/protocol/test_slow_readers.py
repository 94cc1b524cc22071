# SPDX-License-Identifier: MIT
"""Clients that do not read: what they find when they do, and what they cost."""

from peer import read_all, settle
from puppet import Puppet
from serve import eventually, is_sanitized

SOCKET_HOLDS = 700  # messages at most, with the default buffer; 278 on x86-64


def come_and_go(server, connect, n):
    """Clients that come one after the other and go; gives their IDs."""
    ids = []
    for _ in range(n):
        peer = connect(server, keep=False).setup()
        ids.append(peer.id)
        peer.close()
    return ids


def test_sees_exactly_who_is_there(serve, connect):
    server = serve(n_vectors=16)
    slow = connect(server, keep=False)
    others = [connect(server, keep=False) for _ in range(60)]
    read_all(others, lambda: all(len(peer.peers) == 60 and peer.settled for peer in others))
    for peer in others[:20]:
        peer.close()
    del others[:20]
    settle([slow, *others])
    assert len(slow.history) < SOCKET_HOLDS + 2 * 60 * 16


def test_never_hears_of_a_thousand_that_came_and_went_meanwhile(serve, connect):
    server = serve()
    slow = connect(server)
    ids = come_and_go(server, connect, 1000)
    assert len(set(ids)) < SOCKET_HOLDS, "IDs of which nobody has heard come back"
    last = connect(server).setup()
    settle([slow, last])
    assert len(slow.history) < SOCKET_HOLDS + 10


def test_partly_told_peer_that_leaves(serve, connect):
    """What a server sends ahead ends in the midst of a peer: where a socket is full (some 278
    messages), or at the 64 descriptors that it lets one client leave unread. One number of vectors
    is for each, whether the first peer comes before or after one's own vectors."""
    in_part = []
    for n_vectors in [24, 40]:
        server = serve(n_vectors=n_vectors)
        slow = connect(server)
        peers = [connect(server, keep=False).setup() for _ in range(10)]
        for peer in peers:
            peer.close()
        settle([slow, connect(server).setup()])
        told = [slow.history.count((peer, True)) for peer in range(1, 11)]
        in_part += [n for n in told if 0 < n < n_vectors]
    assert in_part, "nobody was told in part"


def test_more_departures_than_its_socket_holds(serve, connect):
    """It knows them all when it stops to read, so it must hear of each, in the midst of those who
    come and go meanwhile."""
    server = serve()
    slow = connect(server, keep=False).setup()
    known = [connect(server, keep=False) for _ in range(500)]
    read_all([slow], lambda: len(slow.peers) == 500)
    for peer in known[:400]:
        peer.close()
    come_and_go(server, connect, 50)
    rest = [connect(server, keep=False) for _ in range(5)]
    for peer in known[400:]:
        peer.close()
    settle([slow, *rest])
    assert slow.gone >= set(range(1, 501))


def test_many_slow_readers_do_not_delay_others(serve, connect):
    server = serve(n_vectors=8)
    slow = [connect(server, keep=False) for _ in range(40)]
    quick = [connect(server, keep=False).setup(timeout=5) for _ in range(10)]
    for peer in quick:
        assert peer.present >= {q.id for q in quick if q.id < peer.id}
    settle([*slow, *quick])


def report_of_all_told(puppet, present):
    """None while there is something that it has not been told."""
    report = puppet.report()
    told = report["peers"] == [peer.id for peer in present] and report["settled"]
    return report if told else None


def test_stopped_process_delays_nobody_and_sees_who_is_there_when_it_goes_on(
        serve, connect, stack):
    server = serve()
    puppet = stack.enter_context(Puppet(server))
    puppet.stop()
    come_and_go(server, connect, 300)
    stays = [connect(server).setup(timeout=5) for _ in range(3)]
    settled = {puppet.id}
    read_all(stays, lambda: all(len(peer.peers) == 3 for peer in stays))
    assert all(settled <= peer.peers.keys() for peer in stays)
    puppet.go_on()
    report = eventually(lambda: report_of_all_told(puppet, stays), what="that it knows those who stay")
    assert report["n_messages"] < SOCKET_HOLDS


def test_server_does_not_grow_for_one_that_sleeps(serve, connect):
    server = serve()
    sleeper = connect(server)
    come_and_go(server, connect, 300)
    before = server.resident()
    come_and_go(server, connect, 2000)
    assert server.resident() - before <= (20000 if is_sanitized() else 100), "KiB"
    settle([sleeper])
