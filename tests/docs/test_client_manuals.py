# SPDX-License-Identifier: MIT
"""The client's manuals say what the tool's help and the library's header say."""
import re
import subprocess

from serve import TREE
from tool import run

LIBRARY_MANUAL = (TREE / "man" / "ivshmem_client.3").read_text(encoding="utf-8")


def test_tool_manual_has_all_that_the_help_has():
    told = run("--help")
    assert told.returncode == 0
    options, commands = told.stdout.decode().split("\n\n")[1:]
    manual = (TREE / "man" / "ivshmem-client.1").read_text(encoding="utf-8")
    for name in re.findall(r"--([a-z-]+)", options):
        assert f"Fl -{name}" in manual
    for letter in re.findall(r"^ +-(\w),", options, re.MULTILINE):
        assert re.search(rf"^\.It Fl {letter}\b", manual, re.MULTILINE)
    for name in re.findall(r"^  ([a-z]+) ", commands, re.MULTILINE):
        assert re.search(rf"^\.It Ic {name}\b", manual, re.MULTILINE)
    known = re.findall(r"^\.It (?:Fl \w[^\n]* , )?Fl -([a-z-]+)", manual, re.MULTILINE)
    assert sorted(known) == sorted(re.findall(r"--([a-z-]+)", options))


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
