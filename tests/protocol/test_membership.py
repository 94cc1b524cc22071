# SPDX-License-Identifier: MIT
"""Who is told of whom, and which IDs are given out."""

import pytest
from peer import read_all, settle
from serve import eventually


def has_left(server, n_clients, n_vectors=1):
    """Waits until the server has no more than so many clients."""
    most = server.fds_at_start + n_clients * (1 + n_vectors)
    eventually(lambda: server.n_fds() <= most, what=f"{n_clients} clients left")


def test_everybody_is_told_of_a_join_and_of_a_departure(serve, connect):
    server = serve(n_vectors=2)
    peers = [connect(server).setup() for _ in range(5)]
    settle(peers)
    leaver = peers.pop(2)
    leaver.close()
    read_all(peers, lambda: all(2 in peer.gone for peer in peers))
    settle(peers)
    assert [peer.history.count((2, False)) for peer in peers] == [1, 1, 1, 1]


def test_newcomer_is_not_told_of_those_who_have_gone(serve, connect):
    server = serve()
    witness, leaver = connect(server).setup(), connect(server).setup()
    witness.until_told(1)
    leaver.close()
    witness.until_gone(1)
    newcomer = connect(server).setup()
    assert newcomer.present == {0} and not newcomer.gone
    assert {value for value, _ in newcomer.history[3:]} == {0, newcomer.id}


def test_own_vectors_come_after_all_who_were_there(serve, connect):
    server = serve(n_vectors=4)
    for n in range(20):
        assert connect(server, keep=False).setup().present == set(range(n))


def test_own_vectors_come_after_all_who_were_there_also_when_it_reads_late(serve, connect):
    """64 vectors of 8 peers are more than a socket holds."""
    server = serve(n_vectors=64)
    late = connect(server, keep=False)
    before = [connect(server, keep=False).setup() for _ in range(8)]
    very_late = connect(server, keep=False)
    later = [connect(server, keep=False) for _ in range(3)]
    very_late.setup()
    assert very_late.present >= {peer.id for peer in before} | {late.id if late.id else 0}
    settle([late, *before, very_late, *later])


def test_ids_are_the_lowest(serve, connect):
    server = serve()
    assert [connect(server).setup().id for _ in range(10)] == list(range(10))


def test_first_client_gets_0_again_when_all_have_left(serve, connect):
    server = serve()
    for _ in range(3):
        peers = [connect(server).setup() for _ in range(3)]
        assert [peer.id for peer in peers] == [0, 1, 2]
        settle(peers)
        for peer in peers:
            peer.close()
        has_left(server, 0)


def test_id_comes_back_only_when_no_client_knows_it(serve, connect):
    """Else QEMU's device writes to what it freed when the ID left."""
    server = serve()
    zero, one = connect(server).setup(), connect(server).setup()
    zero.until_told(1)
    one.close()
    zero.until_gone(1)
    two = connect(server).setup()
    assert two.id == 2, "client 0 knows ID 1"
    zero.until_told(2)
    zero.close()
    two.until_gone(0)
    again = connect(server).setup()
    assert again.id == 1, "client 2 knows ID 0, and nobody knows ID 1"
    two.until_told(1)
    two.close()
    again.until_gone(2)
    assert connect(server).setup().id == 0, "client 1 has never heard of ID 0"


@pytest.mark.parametrize("n_rounds", [3000])
def test_ids_do_not_come_back_while_somebody_stays(serve, connect, n_rounds):
    server = serve()
    stays = connect(server, keep=False).setup()
    for n in range(1, n_rounds + 1):
        with_it = connect(server).setup()
        assert with_it.id == n
        stays.until_told(n)
        with_it.close()
        stays.until_gone(n)
    stays.close()
    has_left(server, 0)
    assert connect(server).setup().id == 0
