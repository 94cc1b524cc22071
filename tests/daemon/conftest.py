# SPDX-License-Identifier: MIT
"""The fixture `place`."""

import contextlib
import ctypes
import pathlib
import shutil
import tempfile

import pytest
from place import Place, end

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(name="place")
def fixture_place(stack):
    """See Place. Daemons become children of this process, so that their status can be seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ivshmem-daemon-"))
    stack.callback(libc.prctl, PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    stack.callback(shutil.rmtree, folder)
    place = Place(folder, stack)
    yield place
    for path in pathlib.Path("/dev/shm").glob(f"{place.name}*"):
        path.unlink()
    # A daemon that should not have started.
    if place.pidfile.is_file():
        with contextlib.suppress(ValueError):
            end(place.daemon_pid())
