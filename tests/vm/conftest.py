# SPDX-License-Identifier: MIT
"""What the VM tests share: the guest's image, made once, and machines that a test's end ends."""

import shutil

import pytest
from image import Image
from machine import QEMU, Vm


@pytest.fixture(scope="session", name="image")
def fixture_image():
    """What guests boot."""
    assert shutil.which(QEMU), f"{QEMU} is missing (Debian: qemu-system-x86)"
    return Image().make()


@pytest.fixture(name="start")
def fixture_start(stack, image, serve, connect):
    """Starts things that the test's end ends: start.server(), start.peer() and start.vm()."""

    class Start:
        server = staticmethod(serve)

        @staticmethod
        def peer(server):
            return connect(server).setup()

        @staticmethod
        def vm(*sockets, image=image, **options):
            return stack.enter_context(Vm(image, *sockets, **options))

    return Start
