# SPDX-License-Identifier: MIT
"""A server that starts with too little: descriptors, address space, shared memory. It serves, or
says in one line why it does not, with status 1, and leaves nothing behind."""

import resource
import subprocess

import pytest
from place import can_mount
from serve import is_sanitized


def ended_in_order(place, done):
    assert done.returncode == 1, done
    assert done.stderr.startswith("ivshmem-server: ") and done.stderr.count("\n") == 1
    assert not place.socket.exists() and not place.object().exists()
    return done.stderr


# The leak sanitizer opens some at the end, and complains if there are none.
@pytest.mark.parametrize("nofile", [*range(5 if is_sanitized() else 4, 24), 33])
def test_few_descriptors(place, nofile):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

    for foreground in [True, False]:
        line = ended_in_order(place, place.run(foreground=foreground, preexec_fn=limit))
        assert "open files" in line or "file descriptors" in line
        assert not place.pidfile.exists()


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer needs terabytes")
@pytest.mark.parametrize("mib", range(4, 25, 2))
@pytest.mark.parametrize("vectors", [1, 2048])
def test_little_address_space(place, mib, vectors):
    """From what the dynamic linker just needs upwards."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))

    done = subprocess.run([place.program, "--version"], preexec_fn=limit, capture_output=True,
                          check=False, timeout=10)
    if done.returncode == 127:
        assert b"shared librar" in done.stderr  # said by the linker, before there is a program
        return
    done = place.run("-n", vectors, "--user", "0:0", foreground=False, preexec_fn=limit)
    if done.returncode == 0:
        place.daemon_pid()
        place.peer(vectors)
    else:
        assert "memory" in ended_in_order(place, done)


FULL = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1M none /dev/shm; "$@"; status=$?; '
        'test -z "$(ls -A /dev/shm)" || exit 99; exit $status', "sh"]


@pytest.mark.skipif(not can_mount(), reason="no mount namespace of our own")
@pytest.mark.parametrize("size", ["2M", "64M", "1G"])
@pytest.mark.parametrize("foreground", [True, False])
def test_full_dev_shm(place, size, foreground):
    line = ended_in_order(place, place.run("-l", size, foreground=foreground, before=FULL))
    assert "no room" in line and size in line and place.name in line


@pytest.mark.skipif(not can_mount(), reason="no mount namespace of our own")
def test_full_directory(place):
    mount = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1M none /mnt; exec "$@"', "sh"]
    line = ended_in_order(place, place.run("-m", "/mnt", "-l", "2M", before=mount))
    assert "no room" in line and "/mnt" in line
