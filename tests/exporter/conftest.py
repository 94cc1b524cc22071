# SPDX-License-Identifier: MIT
"""The fixtures `place`, `configured` (see there), `web` and `export`."""

import pytest
from configured import fixture_configured, fixture_place  # pylint: disable=unused-import
from exporter import Exporter


@pytest.fixture(name="web")
def fixture_web(configured):
    """A server with two regions, of one, two and no vectors' worth of listeners."""
    configured.write("web", "[region]\nvectors=2\nmax-clients=40\n[listener a]\nsocket={folder}/a\n"
                            "[listener vm1]\nsocket={folder}/vm1\nreserved-id=7\nmax-clients=1")
    configured.write("db", "[region]\nsize=64K\n[listener only]\nsocket={folder}/only\nallow-user=12345")
    configured.server = configured.start()
    return configured


@pytest.fixture(name="export")
def fixture_export(stack):
    """Starts an exporter: export(control, "--timeout", 1)."""
    return lambda *words, **options: stack.enter_context(Exporter(*words, **options))
