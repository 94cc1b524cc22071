# SPDX-License-Identifier: MIT
"""Two peers that have nothing to do with whatever else happens: in a process of their own, they ring
each other's doorbells and use the memory all the time, and measure how long that takes."""

import time

from actor import Actor
from peer import Peer

TIMEOUT = 10.0
PAUSE = 0.003  # seconds between two rounds, so that the others get the processors


class Pair(Actor):
    """They are disturbed if their process dies, the server breaks a rule or hangs up, a doorbell
    does not arrive, or a round takes longer than that."""

    def __init__(self, server):
        super().__init__(ring_each_other, str(server.socket), server.n_vectors)
        self.ids = self.hear()

    def __exit__(self, *exception):
        if exception[0] is None and self.pid is not None:
            self.check()
        super().__exit__(*exception)

    def check(self, worst=5.0):
        """They have rung each other since the last check, and never had to wait."""
        self.say("report")
        report = self.hear()
        assert report["rounds"] > 0
        assert report["worst"] < worst, "seconds for a doorbell there and one back"


def ring_each_other(channel, path, n_vectors):
    """The process: reports whenever it is asked."""
    with Peer(path, n_vectors) as one, Peer(path, n_vectors) as two:
        one.setup()
        two.setup()
        one.until_told(two.id)
        channel.send([one.id, two.id])
        report = {"rounds": 0, "worst": 0.0}
        while True:
            began = time.monotonic()
            for sender, receiver in [(one, two), (two, one)]:
                sender.map[receiver.id] = 1
                sender.ring(receiver.id, n_vectors - 1)
                assert receiver.wait(n_vectors - 1, TIMEOUT), "a doorbell is lost"
                assert len(receiver.map[:]) > 0
                sender.drain()
            report["rounds"] += 1
            report["worst"] = max(report["worst"], time.monotonic() - began)
            if channel.asked(PAUSE):
                channel.receive()
                channel.send(report)
                report = {"rounds": 0, "worst": 0.0}
