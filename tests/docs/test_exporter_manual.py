# SPDX-License-Identifier: MIT
"""The exporter's manual, unit and completion have the options and metrics that the program has."""

import json
import re
import subprocess

import exporter
from serve import TREE

PAGE = (TREE / "man/ivshmem-exporter.1").read_text(encoding="utf-8")
UNIT = (TREE / "dist/ivshmem-exporter.service.in").read_text(encoding="utf-8")


def section(name):
    return PAGE.split(f".Sh {name}\n")[1].split("\n.Sh ")[0]


def help_rows():
    """Of each option: name, letter, what the value is called, default."""
    rows = re.findall(r"^ +(?:-(\w), )? *--([\w-]+)(?:=(\S+))? +(.*)$", exporter.run("--help").stdout,
                      re.MULTILINE)
    for letter, name, value, text in rows:
        default = re.search(r"\(([^()]+)\)$", text)
        yield name, letter, value, default[1] if default else None


def test_manual_has_every_option_with_its_default():
    entries = dict(re.findall(r"^\.It (?:Fl \w , )?Fl -([\w-]+)(.*?)(?=^\.It|^\.El)", section("DESCRIPTION"),
                              re.MULTILINE | re.DOTALL))
    rows = list(help_rows())
    assert {name for name, *_ in rows} == set(entries)
    for name, letter, _, default in rows:
        if letter:
            assert f".It Fl {letter} , Fl -{name}" in PAGE
        if default:
            assert re.search(rf"The default is\s+(\.Pa )?{re.escape(default)}(\.| \.)$", entries[name],
                             re.MULTILINE), name


def test_manual_has_every_metric_as_the_program_says():
    """With type and labels; the text is the one that Prometheus is told."""
    rows = re.findall(r"^\.It Cm (ivshmem_\w+)(?: Ar (.*?))? No \((\w+)\)\n(.*?)(?=^\.It|^\.El)",
                      section("METRICS"), re.MULTILINE | re.DOTALL)
    found = {name: (kind, labels.split(" , ") if labels else [], " ".join(text.split()))
             for name, labels, kind, text in rows}
    assert found == exporter.table()


def test_manual_has_the_limits():
    code = (TREE / "src/tools/exporter/http.c").read_text(encoding="utf-8")
    assert "MAX_CONNECTIONS 64U" in code and "There are 64 connections at most" in PAGE
    assert re.search(r"IDLE_S +10U", code) and "may be silent for 10 seconds" in PAGE
    main = (TREE / "src/tools/exporter/main.c").read_text(encoding="utf-8")
    assert re.search(r"PAUSE_MS +100 ", main) and "asked ten times a second at most" in PAGE
    assert re.search(r"LIFE_MS +30000", code) and "may last half a minute" in PAGE


def test_names_are_those_that_prometheus_expects():
    for name, (kind, labels, _) in exporter.table().items():
        assert re.fullmatch(r"ivshmem_[a-z0-9_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|us|ns|milliseconds|kib|count|sum|bucket)$", name)
        assert set(labels) <= {"region", "listener", "reason", "version"}


def test_unit_starts_what_is_installed_with_a_group_that_is_made():
    assert "ExecStart=@bindir@/ivshmem-exporter $ARGS\n" in UNIT
    group = re.search(r"^SupplementaryGroups=(\S+)$", UNIT, re.MULTILINE)[1]
    users = (TREE / "dist/ivshmem-server.sysusers").read_text(encoding="utf-8")
    assert re.search(rf"^g {group} ", users, re.MULTILINE)
    assert f".Cm {group}" in PAGE and f"--control-group={group}" in UNIT
    address = re.search(r'ARGS="--listen=(\S+)"', UNIT)[1]
    with subprocess.Popen([exporter.exporter_program(), f"--listen={address}"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as process:
        said = process.stdout.readline()
        process.kill()
    # A machine need not have IPv6.
    assert said == f"http://{address}/metrics\n" or "cannot listen at" in said


def test_examples_are_what_prometheus_reads():
    """The YAML of the examples is simple enough to be JSON's neighbour; its names are what matters."""
    example = section("EXAMPLES")
    default = next(default for name, _, _, default in help_rows() if name == "listen")
    assert json.loads(re.search(r'targets: (\[.*\])', example)[1]) == [default]
    assert f"http://{default}/metrics" in example
    named = re.search(r"expr: (\w+) == 0", example)[1]
    assert named in exporter.table()
