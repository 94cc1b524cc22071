# SPDX-License-Identifier: MIT
"""The manual and the completions have the commands, options and keys that the programs have."""

import re
import subprocess

import pytest
from serve import TREE, build_folder

PROGRAMS = ["client", "ctl", "exporter", "server"]


def tell(program):
    return subprocess.run([build_folder() / f"ivshmem-{program}", "--help"], capture_output=True,
                          text=True, timeout=10, check=True).stdout


def options_of(program):
    return set(re.findall(r"^ +(?:-\w, )?--([\w-]+)", tell(program), re.MULTILINE))


def commands_of(program):
    return set(re.findall(r"^  ([a-z][\w-]*) ", tell(program), re.MULTILINE))


def completion(program):
    return (TREE / f"dist/completion/ivshmem-{program}").read_text(encoding="utf-8")


def words_of(program, name):
    text = re.search(rf"local {name}='(.*?)'", completion(program), re.DOTALL)[1]
    return {word.rstrip("=") for word in text.split()}


def test_manual_has_every_option_and_command():
    page = (TREE / "man/ivshmem-ctl.1").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.It (?:Fl \w[^\n]* , )?Fl -([a-z-]+)", page, re.MULTILINE)) == \
        options_of("ctl")
    assert set(re.findall(r"^\.It Ic (\S+)", page, re.MULTILINE)) == commands_of("ctl")


@pytest.mark.parametrize("program", ["client", "exporter", "server"])
def test_completion_has_every_option(program):
    words = words_of(program, "words")
    assert {word[2:] for word in words if word.startswith("--")} == options_of(program)
    commands = commands_of(program) if program == "client" else set()
    assert {word for word in words if not word.startswith("--")} == commands


def test_completion_of_the_tool_has_options_commands_and_keys():
    assert {word[2:] for word in words_of("ctl", "options")} == options_of("ctl")
    assert words_of("ctl", "commands") == commands_of("ctl")
    page = (TREE / "man/ivshmem.conf.5").read_text(encoding="utf-8")
    for name, title in [("region_keys", "[region]"), ("listener_keys", "[listener NAME]")]:
        section = page.split(f".Ss Section {title}\n")[1].split(".Ss ")[0]
        assert words_of("ctl", name) == set(re.findall(r"^\.It Cm (\S+)", section, re.MULTILINE))


@pytest.mark.parametrize("program", PROGRAMS)
def test_completion_is_a_script(program):
    path = TREE / f"dist/completion/ivshmem-{program}"
    subprocess.run(["shellcheck", "-s", "bash", path], check=True, timeout=20)
    words = subprocess.run(
        ["bash", "-c", f". {path}; COMP_WORDS=(ivshmem-{program} --v); COMP_CWORD=1; "
                       f"_ivshmem_{program}; echo ${{COMPREPLY[*]}}"],
        capture_output=True, text=True, check=True, timeout=20).stdout
    assert "--version" in words.split()
