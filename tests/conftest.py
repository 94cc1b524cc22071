# SPDX-License-Identifier: MIT
"""What the black-box tests share: servers and followed clients that a test's end ends and checks."""

import contextlib
import ctypes
import os
import pathlib
import re
import resource
import shutil
import tempfile

import pytest
from peer import Peer
from place import Place, end
from serve import Server, eventually, is_sanitized, server_program

PR_SET_CHILD_SUBREAPER = 36


def pytest_configure():
    """Hundreds of clients live in this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.hookimpl(tryfirst=True)  # before long ones are left out
def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("starts") and is_sanitized():
            item.add_marker(pytest.mark.long)


@pytest.fixture(name="stack")
def fixture_stack():
    """Ends what a test has started, also when it fails."""
    with contextlib.ExitStack() as started:
        yield started


@contextlib.contextmanager
def checked(server):
    """A server that must end as it began: status 0, no descriptor kept for clients that have left,
    nothing left behind, and no line on standard error but those that the test expects."""
    server.expected = []
    with server:
        yield server
        if server.process is None:
            return
        eventually(lambda: server.n_fds() <= server.fds_at_start,
                   what=f"the server back at its {server.fds_at_start} descriptors")
        assert server.end() == 0, server.log()
        unexpected = [line for line in server.errors().splitlines()
                      if not any(re.search(pattern, line) for pattern in server.expected)]
        assert not unexpected
        assert not server.socket.exists()
        assert not pathlib.Path("/dev/shm", server.name).exists()


@contextlib.contextmanager
def followed(peer):
    """A client of which all is checked that it has been sent until the end of the test."""
    with peer:
        yield peer
        if peer.socket.fileno() >= 0:
            with contextlib.suppress(ConnectionResetError):
                peer.drain()


@pytest.fixture(name="serve")
def fixture_serve(stack):
    """Starts a server: serve(n_vectors=2). Its `expected` is a list of patterns for what it may say
    on standard error."""
    assert server_program().exists(), f"there is no server {server_program()}"

    def start(**options):
        return stack.enter_context(checked(Server(**options)))

    return start


@pytest.fixture(name="connect")
def fixture_connect(stack):
    """Connects a followed client, which has read nothing yet: connect(server).setup()."""

    def start(server, **options):
        return stack.enter_context(followed(Peer(server.socket, server.n_vectors, **options)))

    return start


@pytest.fixture(name="unprivileged")
def fixture_unprivileged():
    """A user whom nobody else uses: the kernel counts descriptors on their way per user."""
    return 200000 + os.getpid() % 100000 if os.geteuid() == 0 else os.geteuid()


@pytest.fixture(name="place")
def fixture_place(stack):
    """See Place. Daemons become children of this process, so that their status can be seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ivshmem-daemon-"))
    stack.callback(libc.prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    stack.callback(eventually, has_no_children, what="the end of all that was started")
    stack.callback(shutil.rmtree, folder)
    place = Place(folder, stack)
    yield place
    for path in pathlib.Path("/dev/shm").glob(f"{place.name}*"):
        path.unlink()
    # A daemon that should not have started.
    if place.pidfile.is_file():
        with contextlib.suppress(ValueError):
            end(place.daemon_pid())


def has_no_children():
    """Takes the status of those that have ended: daemons that refused, whose parent did not wait."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return True
    return False
