# SPDX-License-Identifier: MIT
"""The programs and the library are built with the hardening that Debian uses (dpkg-buildflags with
hardening=+all)."""

import os
import re
import subprocess

import pytest
from serve import build_folder, is_sanitized, server_program
from tool import client_program

BINARIES = {
    "ivshmem-server": server_program(),
    "ivshmem-client": client_program(),
    "ivshmem-ctl": build_folder() / "ivshmem-ctl",
    "ivshmem-exporter": build_folder() / "ivshmem-exporter",
    "libivshmem.so": build_folder() / "libivshmem.so",
}


def readelf(option, name):
    done = subprocess.run(["readelf", "-W", option, BINARIES[name]], capture_output=True, text=True,
                          timeout=20, check=True, env={**os.environ, "LC_ALL": "C"})
    return done.stdout


@pytest.fixture(name="binary", params=BINARIES)
def fixture_binary(request):
    return request.param


def test_loaded_anywhere(binary):
    assert re.search(r"Type: +DYN", readelf("-h", binary))
    if not binary.endswith(".so"):
        assert re.search(r"FLAGS_1\).*\bPIE\b", readelf("-d", binary))


def test_tables_are_read_only(binary):
    assert "GNU_RELRO" in readelf("-l", binary)
    dynamic = readelf("-d", binary)
    assert re.search(r"FLAGS\).*\bBIND_NOW\b|FLAGS_1\).*\bNOW\b", dynamic)
    assert "TEXTREL" not in dynamic
    assert not re.search(r"\b(RPATH|RUNPATH)\b", dynamic)


def test_stacks_are_checked(binary):
    assert "__stack_chk_fail" in readelf("--dyn-syms", binary)


def test_no_memory_is_writable_and_executable(binary):
    segments = re.findall(r"^ +(\w+) .* ([R ][W ][E ]) 0x\w+$", readelf("-l", binary), re.MULTILINE)
    assert dict(segments)["GNU_STACK"] == "RW "
    assert not [kind for kind, flags in segments if flags[1:] == "WE"]


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer checks buffers by itself")
def test_buffers_are_checked(binary):
    symbols = readelf("--dyn-syms", binary)
    checked = set(re.findall(r"\b__(\w+)_chk\b", symbols))
    assert {"vsnprintf", "snprintf"} & checked, f"of the fortified functions only {checked}"
