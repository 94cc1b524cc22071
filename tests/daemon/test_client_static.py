# SPDX-License-Identifier: MIT
"""The client in one file, for guests that have nothing else."""
import re
import subprocess

import pytest
from serve import build_folder, is_sanitized

PROGRAM = build_folder() / "ivshmem-client-static"


def test_is_hardened_as_the_others_are():
    """Linked statically it can still be loaded anywhere, and what the linker fills in is read-only then."""
    if is_sanitized():
        pytest.skip("a sanitizer cannot be linked statically")
    done = subprocess.run(["readelf", "-hldW", PROGRAM], capture_output=True, text=True, timeout=10,
                          check=True, env={"LC_ALL": "C", "PATH": "/usr/bin"})
    assert re.search(r"Type: +DYN", done.stdout)
    assert re.search(r"FLAGS_1\) +Flags: NOW PIE", done.stdout)
    assert "GNU_RELRO" in done.stdout and re.search(r"GNU_STACK .* RW +0x", done.stdout)
    assert not re.search(r"\b(TEXTREL|NEEDED|RPATH|RUNPATH|RWE)\b", done.stdout)


def test_is_small_and_needs_nothing(serve, connect):
    if is_sanitized():
        pytest.skip("a sanitizer cannot be linked statically")
    assert PROGRAM.stat().st_size < 2 << 20
    headers = subprocess.run(["readelf", "-lW", PROGRAM], capture_output=True, timeout=10, check=True)
    assert b"LOAD" in headers.stdout and b"INTERP" not in headers.stdout
    server = serve(size="64K", n_vectors=2)
    peer = connect(server).setup()
    done = subprocess.run([PROGRAM, "-S", server.socket, "ring", "0", "1"], timeout=10,
                          env={}, check=False)
    assert done.returncode == 0 and peer.wait(1)
