# SPDX-License-Identifier: MIT
"""The fixture `place`."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import tempfile

import pytest
from place import Place, end
from serve import eventually

PR_SET_CHILD_SUBREAPER = 36


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
