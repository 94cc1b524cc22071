# SPDX-License-Identifier: MIT
"""The client library's manual says what its header says."""
import re
import subprocess

from serve import TREE

LIBRARY_MANUAL = (TREE / "man" / "ivshmem_client.3").read_text(encoding="utf-8")


def test_library_manual_has_every_function():
    header = (TREE / "include" / "ivshmem-client.h").read_text(encoding="utf-8")
    declared = re.findall(r"IVSHMEM_API [^;(]*?(ivshmem_\w+)\(", header)
    named = re.findall(r"^\.Nm (\w+)", LIBRARY_MANUAL, re.MULTILINE)
    prototypes = re.findall(r"^\.F[no] (ivshmem_client_\w+) ?", LIBRARY_MANUAL.split(
        ".Sh DESCRIPTION")[0], re.MULTILINE)
    assert sorted(declared) == sorted(named) == sorted(prototypes)


def test_library_manual_has_an_example_that_compiles():
    example = LIBRARY_MANUAL.split(".Sh EXAMPLES")[1].split(".Bd -literal -offset indent\n")[1]
    program = example.split("\n.Ed")[0].replace("\\e", "\\")
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-xc",
                    f"-I{TREE / 'include'}", "-"], input=program, text=True, check=True, timeout=60)
