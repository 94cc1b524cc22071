# SPDX-License-Identifier: MIT
"""A client in a process of its own, to be stopped and killed.

    puppet = Puppet(server, n_messages=2)    has read two messages
    puppet = Puppet(server)                  has read its set-up
    puppet.report()                          reads what is there; what it knows then
"""

import json
import os
import select
import signal
import subprocess
import sys

from peer import Peer

TIMEOUT = 10.0


class Puppet:
    """The process, seen from its parent."""

    def __init__(self, server, n_messages=None):
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(server.socket), str(server.n_vectors),
             "" if n_messages is None else str(n_messages)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.id = self._answer()["id"]
        except BaseException:
            self.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def report(self):
        """What it knows when it has read all that is there: its id, peers, gone, n_messages."""
        os.write(self._process.stdin.fileno(), b"\n")
        return self._answer()

    def stop(self):
        """SIGSTOP, until go_on()."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL."""
        self._process.kill()
        self._process.wait(TIMEOUT)
        self._process.stdin.close()
        self._process.stdout.close()

    def _answer(self):
        assert select.select([self._process.stdout], [], [], TIMEOUT)[0], "the client says nothing"
        return json.loads(self._process.stdout.readline())


def tell(peer):
    """The client's side of report()."""
    print(json.dumps({"id": peer.id, "peers": sorted(peer.peers), "gone": sorted(peer.gone),
                      "settled": peer.settled, "n_messages": len(peer.history)}), flush=True)


def main():
    path, n_vectors, n_messages = sys.argv[1:]
    with Peer(path, int(n_vectors), keep=False) as peer:
        if n_messages:
            for _ in range(int(n_messages)):
                peer.read()
        else:
            peer.setup()
        tell(peer)
        while sys.stdin.readline():
            peer.drain()
            tell(peer)


if __name__ == "__main__":
    main()
