# SPDX-License-Identifier: MIT
"""The client's manual says what the tool's help says."""
import re

from serve import TREE
from tool import run


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
