# SPDX-License-Identifier: MIT
"""What the VM tests share: the guest's image, made once, and servers and machines that end."""

import contextlib
import pathlib
import shutil
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "lib")]

from image import Image  # noqa: E402
from machine import QEMU, Vm  # noqa: E402
from peer import Peer  # noqa: E402
from serve import Server, server_program  # noqa: E402


@pytest.fixture(scope="session")
def image():
    assert shutil.which(QEMU), f"{QEMU} is missing (Debian: qemu-system-x86)"
    return Image().make()


@pytest.fixture
def stack():
    """Ends what a test has started, also when it fails."""
    with contextlib.ExitStack() as started:
        yield started


@pytest.fixture
def start(stack, image):
    """Starts things that the test's end ends: start.server(), start.peer() and start.vm()."""

    class Start:
        @staticmethod
        def server(**options):
            assert server_program().exists(), f"there is no server {server_program()}"
            return stack.enter_context(Server(**options))

        @staticmethod
        def peer(server):
            return stack.enter_context(Peer(server.socket, server.n_vectors)).setup()

        @staticmethod
        def vm(*sockets, image=image, **options):
            return stack.enter_context(Vm(image, *sockets, **options))

    return Start
