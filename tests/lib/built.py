# SPDX-License-Identifier: MIT
"""Programs of the tree that only tests need: they are built when one needs them."""

import subprocess

from serve import build_folder

TIMEOUT = 300


def built(name):
    """Builds a target of the build folder, such as tests/crash/crash-crowd, and gives its path."""
    done = subprocess.run(["ninja", "-C", build_folder(), name], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout
    return build_folder() / name
