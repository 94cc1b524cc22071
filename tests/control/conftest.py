# SPDX-License-Identifier: MIT
"""The fixtures `place` (see there) and `controlled`."""

import pathlib
import shutil
import tempfile

import pytest
from control import Control
from place import Place


@pytest.fixture(name="place")
def fixture_place(stack):
    """A folder for a server."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ivshmem-control-"))
    stack.callback(shutil.rmtree, folder)
    return Place(folder, stack)


@pytest.fixture(name="controlled")
def fixture_controlled(place, stack):
    """Starts a server with the drop-in's command line and a control socket: controlled("-n", 2).
    It has connect(), for a connection to that."""

    def start(*more, **options):
        path = place.folder / "control"
        server = place.server("--control", path, *more, **options)
        server.control = path
        server.connect = lambda: stack.enter_context(Control(path)).negotiate()
        return server

    return start
