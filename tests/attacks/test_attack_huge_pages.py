# SPDX-License-Identifier: MIT
"""A memfd of huge pages (--hugepages): whole if there are enough of them, refused in one line if not."""

import contextlib
import mmap
import os
import pathlib

import pytest
from peer import Peer

POOL = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
PAGE = 2 << 20


def number(name):
    return int((POOL / name).read_text(encoding="ascii"))


@contextlib.contextmanager
def reserved(n):
    """n more free pages of 2 MiB, if root can have them: gives how many there are."""
    before = number("nr_hugepages")
    try:
        with contextlib.suppress(OSError):
            (POOL / "nr_hugepages").write_text(str(before + n), encoding="ascii")
        yield number("free_hugepages") - number("resv_hugepages")
    finally:
        with contextlib.suppress(OSError):
            (POOL / "nr_hugepages").write_text(str(before), encoding="ascii")


@pytest.mark.skipif(not POOL.is_dir(), reason="the kernel has no huge pages of 2 MiB")
def test_served_or_refused(place):
    """What the machine has of them decides which, and both are checked as they can be."""
    with reserved(4) as n_free:
        refused = place.run("--hugepages", "2M", "-l", f"{PAGE << (max(n_free, 1)).bit_length()}")
        assert refused.returncode == 1 and refused.stderr.count("\n") == 1
        assert "no room for the memfd" in refused.stderr and not place.socket.exists()
        assert f"(see {POOL}/nr_hugepages)" in refused.stderr
        if n_free < 2:
            return
        size = PAGE << (n_free.bit_length() - 1)
        server = place.server("--hugepages", "2M", "-l", size)
        with Peer(place.socket, 1) as one, Peer(place.socket, 1) as other:
            one.setup()
            other.setup()
            assert os.fstat(one.memory).st_size == size
            assert os.fstat(one.memory).st_blksize == PAGE
            with mmap.mmap(one.memory, size) as mine, mmap.mmap(other.memory, size) as theirs:
                for at in range(0, size, PAGE):
                    mine[at] = 1 + at // PAGE % 200
                assert [theirs[at] for at in range(0, size, PAGE)] == \
                    [1 + i % 200 for i in range(size // PAGE)]
            with pytest.raises(PermissionError):
                os.ftruncate(one.memory, 0)
        assert server.stop() == 0
