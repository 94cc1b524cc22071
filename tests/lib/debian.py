# SPDX-License-Identifier: MIT
"""Programs of Debian's packages that tests use without installing the package."""

import subprocess

TIMEOUT = 300


def run(command, **more):
    """Runs a program to its end, which must be good; gives what it has printed."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=TIMEOUT, check=False, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout


def unpack(package, folder):
    """Downloads a package from where apt's lists say and unpacks it into a folder. Nothing is
    installed, so nothing is started."""
    # apt-get's own downloader runs as another user where there is one.
    run(["apt-get", "-o", "APT::Sandbox::User=root", "download", package], cwd=folder)
    (file,) = folder.glob("*.deb")
    run(["dpkg-deb", "-x", file, folder])
    file.unlink()
