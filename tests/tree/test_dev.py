# SPDX-License-Identifier: MIT
"""The dev script: what it makes of its words, and what its tally makes of results."""
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import tempfile

import pytest
import sources
from serve import eventually


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


STAGE = """case $* in
    "compile checked") ;;
    "compile clang") echo "clang says why"; exit 1 ;;
    "compile asan") echo $$ >{tree}/started; exec sleep 60 ;;
esac
"""


@pytest.fixture(name="checked")
def fixture_checked(tree):
    """The tree with stages that do next to nothing, of which one fails and one does not end."""
    write_program(tree / "scripts/stage.sh", STAGE.replace("{tree}", str(tree)))
    return tree


def test_failure_of_a_stage_that_runs_aside(checked):
    done = dev(checked, "check", "build", "clang")
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and done.stderr == ""
    assert re.fullmatch(r"build +ok: 1 \(\d+ s\)", lines[0])
    assert re.fullmatch(r"clang +FAILED: 1 of 1 \(\d+ s\)", lines[1])
    assert lines[2] == "    clang says why"
    assert lines[-1] == "1 passed, 1 failed, 0 skipped"


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_interruption_ends_the_stage_that_runs_aside(checked):
    with subprocess.Popen([checked / "dev", "check", "asan"], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={"PATH": f"{checked}/bin:{os.environ['PATH']}"}) as check:
        started = checked / "started"
        eventually(lambda: started.exists() and started.read_text(), what="the stage")
        check.send_signal(signal.SIGINT)
        _, errors = check.communicate(timeout=30)
    assert check.returncode == 130 and errors == "dev: interrupted\n"
    assert not is_running(int(started.read_text()))


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
