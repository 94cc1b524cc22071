# SPDX-License-Identifier: MIT
"""The dev script: what it makes of its words, and what its tally makes of results."""
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import pytest
import sources


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


@pytest.fixture(name="tree")
def fixture_tree():
    """A tree with the scripts only, in which everything is built and installed, for everybody to
    use; the server says what it was given."""
    with tempfile.TemporaryDirectory(prefix="ivshmem-dev-") as folder:
        tree = pathlib.Path(folder)
        shutil.copy(sources.ROOT / "dev", tree)
        shutil.copytree(sources.ROOT / "scripts", tree / "scripts")
        write_program(tree / "build/ivshmem-server", 'printf "%s\\n" "$@"; exit 7\n')
        (tree / "build/build.ninja").write_text("build all: phony\n")
        (tree / "build/.configured").write_text(f"{tree} cc \n")
        write_program(
            tree / "bin/dpkg-query",
            'shift 3\nfor name; do echo "${STATE:-installed} $name"; done\n',
        )
        write_program(tree / "bin/ninja", "exit 0\n")
        subprocess.run(["chmod", "-R", "a+rX", tree], check=True, timeout=10)
        yield tree


def dev(tree, *words, before=(), **environment):
    environment.setdefault("PATH", f"{tree}/bin:{os.environ['PATH']}")
    return subprocess.run(
        [*before, tree / "dev", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=30, check=False,
    )


@pytest.mark.parametrize(
    "words",
    [(), ("nonsense",), ("check", "nonsense"), ("check", "--nonsense"), ("fuzz",), ("bench",), ("demo",)],
    ids=" ".join,
)
def test_what_it_cannot_do_is_said_in_one_line(tree, words):
    done = dev(tree, *words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("dev: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help(tree, word):
    done = dev(tree, word)
    assert done.returncode == 0 and done.stderr == ""
    for command in ("run", "check", "demo", "bench", "fuzz", "help"):
        assert f"\n  {command} " in done.stdout


def test_run_gives_the_users_options_last(tree):
    words = ["-M", "name", "--size=4M", "a b", ""]
    done = dev(tree, "run", *words)
    assert done.stdout.split("\n")[:-1] == ["-F", "--memfd", "--show-attach", *words]
    assert done.stderr == ""
    assert done.returncode == 7, "the server's status is the script's"


def test_packages_missing_and_no_way_to_be_root(tree):
    nobody = [shutil.which("setpriv"), "--reuid=65534", "--clear-groups"]
    for name in ("bash", "dirname", "env", "sort"):
        (tree / "bin" / name).symlink_to(shutil.which(name))
    write_program(tree / "bin/apt-get", "exit 1\n")
    done = dev(tree, "run", PATH=f"{tree}/bin", STATE="half-installed", before=() if os.geteuid() else nobody)
    assert done.returncode == 1
    assert done.stderr.startswith("dev: not root and no sudo; install these packages first: gcc ")


def test_failed_installation_shows_what_apt_says(tree):
    write_program(tree / "bin/apt-get", 'echo "apt: $*"; exit 100\n')
    write_program(tree / "bin/sudo", 'shift; exec "$@"\n')
    done = dev(tree, "check", STATE="config-files")
    assert done.returncode == 1
    assert "apt: -q -y" in done.stderr and "could not install: " in done.stderr
    assert done.stdout == "0 passed, 1 failed, 0 skipped\n"


STAGES = {
    "nothing to count": (0, {}, "1 passed, 0 failed, 0 skipped", 0),
    "a command that fails": (2, {}, "0 passed, 1 failed, 0 skipped", 1),
    "a command that hangs": (124, {}, "0 passed, 1 failed, 0 skipped", 1),
    "tests": (
        0,
        {"a.xml": "<a><testcase name='1'/><testcase name='2'><skipped message='no'/></testcase></a>"},
        "1 passed, 0 failed, 1 skipped",
        0,
    ),
    "nothing but skipped": (
        0,
        {"a.xml": "<a><testcase name='2'><skipped/></testcase></a>"},
        "0 passed, 0 failed, 1 skipped",
        1,
    ),
    "no tests": (0, {"a.xml": "<a/>"}, "0 passed, 0 failed, 0 skipped", 1),
    "a failure": (
        1,
        {"a.xml": "<a><testcase name='1'/><testcase name='2'><failure/></testcase></a>"},
        "1 passed, 1 failed, 0 skipped",
        1,
    ),
    "an error at a test's end": (
        1,
        {"a.xml": "<a><testcase name='2'><error/></testcase></a>", "b.xml": "<a><testcase name='3'/></a>"},
        "1 passed, 1 failed, 0 skipped",
        1,
    ),
    "a command that fails after its tests": (
        3,
        {"a.xml": "<a><testcase name='1'/></a>"},
        "1 passed, 1 failed, 0 skipped",
        1,
    ),
    "results cut off": (1, {"a.xml": "<a><testcase"}, "0 passed, 1 failed, 0 skipped", 1),
    "a program that crashed after tests that passed": (
        1,
        {
            "testlog.junit.xml": "<a><testcase classname='p.t' name='1'/></a>",
            "testlog.json": '{"name": "p / t", "result": "ERROR", "returncode": -11}',
        },
        "1 passed, 1 failed, 0 skipped",
        1,
    ),
    "a program with a failed test": (
        1,
        {
            "testlog.junit.xml": "<a><testcase classname='p.t' name='1'><failure/></testcase></a>",
            "testlog.json": '{"name": "p / t", "result": "FAIL", "returncode": 1}',
        },
        "0 passed, 1 failed, 0 skipped",
        1,
    ),
}


@pytest.mark.parametrize("case", STAGES)
def test_tally(tmp_path, case):
    status, files, wanted, result = STAGES[case]
    (tmp_path / "status").write_text(f"{status}\n")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sources.ROOT / "scripts/tally.py", "total", tmp_path], capture_output=True, text=True,
        timeout=30, check=False,
    )
    assert done.stdout.splitlines()[-1] == wanted
    assert done.returncode == result
