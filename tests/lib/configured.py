# SPDX-License-Identifier: MIT
"""A server with a configuration, for tests: the fixtures `place` (see there) and `configured`."""

import pathlib
import shutil
import subprocess
import tempfile

import pytest
from control import Control
from peer import Peer
from place import Place
from serve import Server, server_program


@pytest.fixture(name="place")
def fixture_place(stack):
    """A folder for a server."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ivshmem-control-"))
    stack.callback(shutil.rmtree, folder)
    return Place(folder, stack)


class Configured:
    """A server with a configuration in its own folder."""

    def __init__(self, place, stack):
        self.place = place
        self.folder = place.folder / "conf"
        self.folder.mkdir()
        self.control = place.folder / "control"
        self._stack = stack

    def write(self, name, text):
        (self.folder / f"{name}.conf").write_text(text.format(folder=self.place.folder))
        return self

    def check(self, *more, path=None, **options):
        return subprocess.run(
            [server_program(), f"--config={path or self.folder}", "--control", self.control, *more],
            capture_output=True, text=True, timeout=20, check=False, **options)

    def start(self, *more, **options):
        server = Server(**options)
        server.arguments = ["-F", f"--config={self.folder}", "--control", str(self.control), *more]
        server.socket = self.control
        return self._stack.enter_context(server)

    def connect(self):
        return self._stack.enter_context(Control(self.control)).negotiate()

    def peer(self, name, n_vectors=1):
        return self._stack.enter_context(Peer(self.place.folder / name, n_vectors)).setup()


@pytest.fixture(name="configured")
def fixture_configured(place, stack):
    return Configured(place, stack)
