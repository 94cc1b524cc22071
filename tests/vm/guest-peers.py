#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""In a guest: followed peers that ring each other all the time.

    guest-peers.py FILE SOCKET N_PEERS N_VECTORS

How they fare is in the file, as JSON, until one of them is disconnected or sees a rule of the protocol
broken.
"""

import json
import os
import sys
import time

from peer import Peer, settle


def write(path, **what):
    with open(f"{path}.new", "w", encoding="ascii") as file:
        json.dump(what, file)
    os.rename(f"{path}.new", path)


def ring_each_other(peers, n_vectors, turn):
    """Each rings the next, at one vector after the other; each has to be woken."""
    vector = turn % n_vectors
    for sender, owner in zip(peers, peers[1:] + peers[:1]):
        sender.ring(owner.id, vector)
    for owner in peers:
        assert owner.wait(vector), f"peer {owner.id} was not woken"


def main(path, place, n_peers, n_vectors):
    peers = [Peer(place, n_vectors).setup() for _ in range(n_peers)]
    settle(peers)
    turn = 0
    end = None
    while end is None:
        turn += 1
        try:
            ring_each_other(peers, n_vectors, turn)
            for peer in peers:
                peer.drain()
        except (AssertionError, OSError) as error:
            end = f"{type(error).__name__}: {error}"
        write(path, turns=turn, end=end, ids=[peer.id for peer in peers],
              messages=sum(len(peer.history) for peer in peers))
        time.sleep(0.05)  # the machine has one processor, and others in it have to work


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
