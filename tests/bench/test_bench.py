# SPDX-License-Identifier: MIT
"""The benchmarks run and say what they measured in a form that others can read. Their figures are no
matter here: this machine is busy with tests."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import pytest

from serve import build_folder, eventually, server_program

TREE = pathlib.Path(__file__).resolve().parents[2]
RUN = TREE / "bench" / "run.py"
SVG = "{http://www.w3.org/2000/svg}"


def run(*arguments):
    return subprocess.run(
        [sys.executable, RUN, *map(str, arguments)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=280, check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})


@pytest.fixture(name="results", scope="module")
def fixture_results(tmp_path_factory):
    """The folder that a quick run of everything leaves."""
    folder = tmp_path_factory.mktemp("bench")
    done = run("--quick", "--output", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (folder / "table.txt").read_text()
    return folder


def test_table_has_a_line_for_each_figure(results):
    heading, *lines = (results / "table.txt").read_text().splitlines()
    rows = json.loads((results / "results.json").read_text())["rows"]
    assert heading.split()[:2] == ["server", "floor"]
    assert len(lines) == len(rows) > 10
    assert all(line.startswith(r["what"]) for line, r in zip(lines, rows))


def test_figures_are_positive_and_ordered(results):
    for r in json.loads((results / "results.json").read_text())["rows"]:
        assert r["value"] >= 0 or r["unit"] == "KiB", r
        if r["ratio"]:
            assert 0 < r["ratio"]["min"] <= r["ratio"]["median"] <= r["ratio"]["max"], r


@pytest.mark.parametrize("name, n_curves", [("bringup", 2), ("latency", 4)])
def test_plots_are_svg(results, name, n_curves):
    top = xml.etree.ElementTree.parse(results / f"{name}.svg").getroot()
    assert top.tag == SVG + "svg"
    curves = [g for g in top.iter(SVG + "g") if g.get("id", "").startswith("gnuplot_plot_")]
    assert len(curves) == n_curves


def test_an_unknown_name_is_an_error():
    done = run("no-such-benchmark")
    assert done.returncode == 2 and "no-such-benchmark" in done.stderr


def test_a_server_that_does_not_serve_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("IVSHMEM_SERVER", "/bin/false")
    done = run("--quick", "--output", tmp_path, "idle")
    assert done.returncode == 1 and "does not serve" in done.stderr


def descendants(pid):
    found = [int(child) for child in
             pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [further for child in found for further in descendants(child)]


def has_ended(pid):
    try:
        return "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_benchmark_that_is_killed_leaves_no_process(results):  # results: so it is built
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, \
            subprocess.Popen([build_folder() / "bench/bench-population", server_program(), "1", "0",
                              "3600", "2"], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"TMPDIR": folder}) as bench:
        assert results
        assert [json.loads(bench.stdout.readline())["clients"] for _ in range(2)] == [0, 2]
        left = eventually(lambda: len(found := descendants(bench.pid)) == 3 and found,
                          what="a keeper, a worker and one that stands by")
        bench.send_signal(signal.SIGKILL)
        bench.wait()
        eventually(lambda: all(map(has_ended, left)), what="the server's end")
        assert not list(pathlib.Path(folder).glob("*/socket"))
