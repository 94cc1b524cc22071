# SPDX-License-Identifier: MIT
"""The fixtures `place`, `configured` (see there), `control` and `controlled`."""

import pytest
from configured import fixture_configured, fixture_place  # pylint: disable=unused-import
from control import Control


@pytest.fixture(name="control")
def fixture_control(configured):
    """The connection to a server with one region, web, and its listener a."""
    configured.write("web", "[region]\nvectors=2\n[listener a]\nsocket={folder}/a")
    configured.start()
    return configured.connect()


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
