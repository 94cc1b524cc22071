# SPDX-License-Identifier: MIT
"""The fixture `scene`: a server and two peers who must not notice what happens beside them."""

import os

import pytest
from actor import Actor
from pair import Pair


class Scene:
    """server: whom to attack. The pair, and whoever comes, must be all right all the time."""

    def __init__(self, server, pair, connect, stack):
        self.server = server
        self.pair = pair
        self._connect = connect
        self._stack = stack

    def connect(self, **options):
        """A followed client that has read nothing yet."""
        return self._connect(self.server, **options)

    def newcomer(self, timeout=10.0):
        """Whoever comes now gets in, and knows the pair; it leaves at once. Gives its ID."""
        with self.connect() as peer:
            peer.setup(timeout=timeout)
            assert set(self.pair.ids) <= peer.present
            return peer.id

    def actor(self, function, *arguments, **options):
        """A function in a process of its own, with the socket's path as its first argument."""
        return self._stack.enter_context(
            Actor(function, str(self.server.socket), *arguments, **options))


@pytest.fixture(name="scene")
def fixture_scene(serve, connect, stack):
    """scene(...) starts a server with the options of Server. Everybody may connect to it."""

    def start(**options):
        server = serve(umask=0, **options)
        server.folder.chmod(0o755)
        pair = stack.enter_context(Pair(server))
        scene = Scene(server, pair, connect, stack)
        stack.callback(scene.newcomer)
        return scene

    return start


@pytest.fixture(name="uid")
def fixture_uid(unprivileged):
    """A user whom nobody else uses."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    return unprivileged
