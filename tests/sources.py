# SPDX-License-Identifier: MIT
"""The files of this tree: what git knows or would add, or, where there is no git, all but what the
build makes."""
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def _from_git():
    # The checkout may belong to somebody else.
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode().split("\0")[:-1]


def _from_folders():
    for folder, folders, files in os.walk(ROOT):
        here = pathlib.Path(folder).relative_to(ROOT)
        folders[:] = [
            name
            for name in folders
            if name not in (".git", "__pycache__")
            and not (here == pathlib.Path() and (name == "build" or name.startswith("build-")))
        ]
        yield from (str(here / name) for name in files if name != ".git" and not name.endswith(".pyc"))


def files(*suffixes):
    """Their paths below ROOT, sorted; only those that end in one of the suffixes, if any is given."""
    names = _from_git() if (ROOT / ".git").exists() else None
    if names is None:
        names = _from_folders()
    return sorted(
        {
            name
            for name in names
            if (ROOT / name).is_file() and (not suffixes or name.endswith(suffixes))
        }
    )
