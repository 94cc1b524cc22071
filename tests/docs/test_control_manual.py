# SPDX-License-Identifier: MIT
"""The manual of the control socket has the commands, arguments, events and limits of the code."""

import re
import subprocess

import pytest
import sources
from control import Control
from serve import TREE, Server

CONF = TREE / "man/ivshmem.conf.5"
PAGE = TREE / "man/ivshmem-control.7"


@pytest.fixture(name="commands", scope="module")
def fixture_commands(tmp_path_factory):
    path = tmp_path_factory.mktemp("control") / "control"
    with Server(more=["--control", str(path)]), Control(path) as control:
        return {row["name"]: row for row in control.negotiate().ask("query-commands")}


def section(name):
    text = PAGE.read_text(encoding="utf-8")
    return text.split(f".Sh {name}\n")[1].split("\n.Sh ")[0]


def entries():
    """The commands of the page, and of each its arguments: {name: (type, required)}."""
    found = {}
    for name, text in re.findall(r"^\.It Cm (\S+)\n(.*?)(?=^\.It Cm|\Z)", section("COMMANDS"),
                                 re.DOTALL | re.MULTILINE):
        rows = re.findall(r"^\.It Ar (\S+) No \((\w+)(, required)?\)$", text, re.MULTILINE)
        found[name] = {argument: (kind, bool(required)) for argument, kind, required in rows}
    return found


def test_page_has_every_command_with_its_arguments(commands):
    expected = {name: {row["name"]: (row["type"], row["required"]) for row in command["arguments"]
                       if "default" not in row}
                for name, command in commands.items()}
    assert entries() == expected


def keys_of_page(title):
    """The keys of a section of ivshmem.conf(5), with the text of each."""
    text = CONF.read_text(encoding="utf-8").split(f".Ss Section {title}\n")[1]
    text = text.split(".Bl -tag -width Ds\n")[1].split("\n.El")[0]
    return dict(re.findall(r"^\.It Cm (\S+) Ar .*\n((?:(?!\.It).*\n?)*)", text, re.MULTILINE))


@pytest.mark.parametrize(("command", "title"), [("region-add", "[region]"),
                                                ("listener-add", "[listener NAME]")])
def test_configuration_page_has_every_key_with_its_default(commands, command, title):
    keys = {row["name"]: row["default"] for row in commands[command]["arguments"] if "default" in row}
    page = keys_of_page(title)
    assert set(page) == set(keys)
    for name, default in keys.items():
        assert f"The default is {default}" in page[name], name


def test_page_has_every_event_and_reason():
    code = "".join((TREE / name).read_text(encoding="utf-8") for name in sources.files(".c", ".h")
                   if name.startswith("src/daemon/control/"))
    events = set(re.findall(r'"([A-Z]+_[A-Z]+)"', code))
    assert events == set(re.findall(r"\b[A-Z]+_[A-Z]+\b", section("EVENTS")))
    reasons = set(re.findall(r'\[IVSHMEM_SERVER_REFUSED_\w+\] = "([\w-]+)"', code))
    assert reasons and reasons <= set(re.findall(r"^\.Dq ([\w-]+)", section("COMMANDS"), re.MULTILINE))


def test_page_has_the_limits():
    header = subprocess.run(["cat", TREE / "src/daemon/control/session.h",
                             TREE / "src/daemon/control/control.h"],
                            capture_output=True, text=True, check=True).stdout
    limits = section("DESCRIPTION")
    assert re.search(r"SESSION_MAX_REQUEST +\(64U << 10\)", header) and "65536 bytes" in limits
    assert re.search(r"SESSION_MAX_UNREAD +\(256U << 10\)", header) and "256 KiB" in limits
    assert re.search(r"SESSION_MAX_DROPPED +10000U", header) and "10000" in limits
    assert re.search(r"CONTROL_MAX_SESSIONS +128", header) and "128 connections" in limits
