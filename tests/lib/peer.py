# SPDX-License-Identifier: MIT
"""A host process that is a peer: it speaks the ivshmem protocol to any server, and checks it.

    with Peer("/tmp/ivshmem_socket", n_vectors=2) as peer:
        peer.setup()
        peer.ring(3, 0)
        assert peer.wait(1, timeout=5)

The rules that a server must keep are checked at each message as it is read, and a broken one is an
AssertionError that shows all messages so far:

- the version (0), then this client's ID, then the memory, each once and first;
- the vectors of an ID come together, all of them, or end with its departure;
- nobody is told twice, nor told of again after its departure;
- a departure is only for an ID that was told, and never for this client's own;
- this client's own vectors are the last of the set-up.

Every wait is bounded and raises TimeoutError. Nothing here knows any particular server.
"""

import array
import fcntl
import mmap
import os
import select
import socket
import struct
import termios
import time

MESSAGE_SIZE = 8
MEMORY = -1
MAX_ID = 65535
TIMEOUT = 10.0
CONTROL_SIZE = socket.CMSG_LEN(4 * array.array("i").itemsize)  # room for more than one fd


class Peer:
    """One connection.

    id       this client's ID
    vectors  its own eventfds
    peers    {ID: [eventfd, ...]} of those that are there now
    present  the IDs that were told before this client's own vectors: who was there before it
    gone     the IDs whose departure was told
    settled  whether all that it was told of is complete
    memory   the shared memory's fd; map is the memory itself
    """

    def __init__(self, path, n_vectors=None, timeout=TIMEOUT, keep=True):
        """Connects. n_vectors is how many vectors each ID must have; None checks no number.

        Without keep the peers' eventfds are closed as they come and stand as -1 in peers: hundreds
        of followed clients in one process would have too many descriptors.
        """
        self.timeout = timeout
        self.n_vectors = n_vectors
        self.version = None
        self.id = None
        self.memory = -1
        self.vectors = []
        self.peers = {}
        self.present = set()
        self.gone = set()
        self.history = []
        self._keep = keep
        self._open_id = None  # the ID whose vectors are being told
        self._buffer = b""
        self._fds = []
        self._map = None
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # Not settimeout(): a full backlog then fails at once.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                                   struct.pack("ll", int(timeout), int(timeout % 1 * 1000000)))
            self.socket.connect(str(path))
            self.socket.setblocking(False)
        except OSError:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Hangs up and closes all that the server sent."""
        if self._map is not None:
            self._map.close()
            self._map = None
        self.socket.close()
        for fds in [self._fds, self.vectors, *self.peers.values()]:
            _close_all(fds)
        if self.memory >= 0:
            os.close(self.memory)
        self._fds, self.vectors, self.peers, self.memory = [], [], {}, -1

    # Reading

    def read(self, timeout=None):
        """Reads, checks and takes in one message; gives (value, whether an fd came with it)."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while len(self._buffer) < MESSAGE_SIZE:
            self._receive(deadline)
        (value,) = struct.unpack("<q", self._buffer)
        fd = self._fds.pop() if self._fds else None
        self._buffer = b""
        self.history.append((value, fd is not None))
        self._take(value, fd)
        return value, fd is not None

    def drain(self):
        """Reads all messages that are there now."""
        try:
            while True:
                self.read(0)
        except TimeoutError:
            return

    def setup(self, n_vectors=None, timeout=None):
        """Reads until this client has its own vectors, all n of them."""
        n = n_vectors or self.n_vectors
        assert n, "how many vectors there are must be known to tell when the set-up is over"
        self.until(lambda: len(self.vectors) == n, timeout)
        return self

    def until(self, condition, timeout=None):
        """Reads messages until condition() holds."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not condition():
            self.read(max(0.0, deadline - time.monotonic()))

    def until_told(self, peer, n_vectors=None, timeout=None):
        """Reads until a peer is there with all its vectors."""
        n = n_vectors or self.n_vectors or 1
        self.until(lambda: len(self.peers.get(peer, [])) >= n, timeout)

    def until_gone(self, peer, timeout=None):
        """Reads until a peer's departure has been told."""
        self.until(lambda: peer in self.gone, timeout)

    def closed(self, timeout=None):
        """Waits until the server hangs up; True if it did and sent nothing more before."""
        if not self._readable(self.timeout if timeout is None else timeout):
            return False
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    def until_hung_up(self, timeout=None):
        """Reads all that comes until the server hangs up."""
        try:
            self.until(lambda: False, timeout)
        except ConnectionResetError:
            return

    @property
    def settled(self):
        """Whether each ID that it was told of, its own too, has all its vectors."""
        return len(self.vectors) == self.n_vectors and (
            self._open_id is None or self._has_all(self._open_id))

    # Doorbells and memory

    def ring(self, peer, vector):
        """Rings a peer's doorbell; its own ID rings itself."""
        fds = self.vectors if peer == self.id else self.peers[peer]
        os.write(fds[vector], struct.pack("=Q", 1))

    def wait(self, vector, timeout=None):
        """Waits for a doorbell on an own vector; gives how often it was rung, 0 if it was not."""
        fd = self.vectors[vector]
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(1000 * (self.timeout if timeout is None else timeout)):
            return 0
        return struct.unpack("=Q", os.read(fd, 8))[0]

    @property
    def map(self):
        """The shared memory, mapped readable and writable."""
        if self._map is None:
            self._map = mmap.mmap(self.memory, os.fstat(self.memory).st_size)
        return self._map

    # What the protocol's rules are

    def _check(self, holds, rule):
        if not holds:
            lines = "\n".join(f"  {v}{' +fd' if fd else ''}" for v, fd in self.history[-300:])
            raise AssertionError(
                f"{rule}; of this client's {len(self.history)} messages the last were:\n{lines}")

    def _take(self, value, fd):
        if self.version is None:
            self._check(value == 0 and fd is None, "the first message must be version 0, no fd")
            self.version = value
        elif self.id is None:
            self._check(0 <= value <= MAX_ID and fd is None,
                        "the second message must be this client's ID, no fd")
            self.id = value
        elif self.memory < 0:
            self._check(value == MEMORY and fd is not None,
                        "the third message must be -1 with the memory's fd")
            self.memory = fd
        else:
            self._check(0 <= value <= MAX_ID, "a message after the set-up must be an ID")
            if fd is None:
                self._take_departure(value)
            else:
                self._take_vector(value, fd)

    def _take_vector(self, peer, fd):
        fds = self.vectors if peer == self.id else self.peers.get(peer, [])
        fds.append(fd)
        if peer != self.id:
            self.peers[peer] = fds  # first of all, so that close() finds the fd
        self._check(peer not in self.gone, f"ID {peer} was told again after its departure")
        if self._open_id != peer:
            self._check_complete()
            self._check(len(fds) == 1, f"ID {peer} was told again, or its vectors in two parts")
            self._open_id = peer
            if peer == self.id:
                self.present = set(self.peers) | self.gone
        if self.n_vectors:
            self._check(len(fds) <= self.n_vectors, f"ID {peer} has more vectors than there are")
        if not self._keep and peer != self.id:
            os.close(fd)
            fds[-1] = -1

    def _take_departure(self, peer):
        self._check(peer != self.id, "this client was told of its own departure")
        self._check(peer not in self.gone, f"the departure of ID {peer} was told twice")
        self._check(peer in self.peers, f"a departure of ID {peer}, which was never told")
        if self._open_id != peer:
            self._check_complete()
        self._open_id = None
        _close_all(self.peers.pop(peer))
        self.gone.add(peer)

    def _check_complete(self):
        """The ID that was being told must have all its vectors when another message comes."""
        if self._open_id is None or not self.n_vectors:
            return
        self._check(self._has_all(self._open_id),
                    f"ID {self._open_id} has not all of its {self.n_vectors} vectors")

    def _has_all(self, peer):
        fds = self.vectors if peer == self.id else self.peers[peer]
        return len(fds) == self.n_vectors

    # The socket

    def _readable(self, seconds):
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(1000 * seconds))

    def _receive(self, deadline):
        wanted = MESSAGE_SIZE - len(self._buffer)
        try:
            data, controls, flags, _ = self.socket.recvmsg(
                wanted, CONTROL_SIZE, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            if not self._readable(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"no message within the time; {len(self.history)} so far: "
                                   f"{self.history[-20:]}") from None
            return
        for level, kind, bytes_ in controls:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(bytes_[:len(bytes_) - len(bytes_) % fds.itemsize])
                self._fds.extend(fds)
        self._check(not flags & socket.MSG_CTRUNC, "more fds came than one message may have")
        self._check(len(self._fds) <= 1, "more than one fd came with one message")
        if not data:
            raise ConnectionResetError(
                f"the server hung up after {len(self.history)} messages: {self.history[-20:]}")
        self._buffer += data


def _close_all(fds):
    for fd in fds:
        if fd >= 0:
            os.close(fd)


def read_all(peers, until, timeout=TIMEOUT):
    """Reads what comes to any of the peers, until until() holds."""
    poll = select.poll()
    by_fd = {peer.socket.fileno(): peer for peer in peers}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + timeout
    while not until():
        ready = poll.poll(1000 * max(0.0, deadline - time.monotonic()))
        if not ready:
            known = {peer.id: sorted(peer.peers) for peer in peers}
            raise TimeoutError(f"not within {timeout} s; who knows whom: {str(known)[:2000]}")
        for fd, _ in ready:
            by_fd[fd].drain()


def fds_unread(peers):
    """How many descriptors wait to be read by peers that have read nothing."""
    n = 0
    for peer in peers:
        size = array.array("i", [0])
        fcntl.ioctl(peer.socket, termios.FIONREAD, size)
        n += max(0, size[0] // MESSAGE_SIZE - 2)
    return n


def ring_each_other(peers, vector):
    """Each rings each other one at that vector, and is heard."""
    for sender in peers:
        for owner in peers:
            if owner is not sender:
                sender.ring(owner.id, vector)
                assert owner.wait(vector)


def settle(peers, timeout=TIMEOUT):
    """Reads until all the peers are set up and each knows the others, completely, and nobody else."""
    ids = set()

    def settled():
        ids.update(peer.id for peer in peers if peer.id is not None)
        return len(ids) == len(peers) and all(
            peer.settled and peer.peers.keys() == ids - {peer.id} for peer in peers)

    read_all(peers, settled, timeout)


def eventfd_id(fd):
    """What tells eventfds apart: the same for each copy of one."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as info:
        return [line for line in info if line.startswith("eventfd-id:")]
