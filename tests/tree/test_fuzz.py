# SPDX-License-Identifier: MIT
"""What is said of fuzzers: here they are scripts that end as libFuzzer's programs do."""
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
import sources


@pytest.fixture(name="fuzz")
def fixture_fuzz(tmp_path):
    """Runs fuzzers, which are given as scripts; their results are in tmp_path."""

    def run(patience=30, **fuzzers):
        for name, script in fuzzers.items():
            program = tmp_path / f"fuzz/fuzz-{name}"
            program.parent.mkdir(exist_ok=True)
            program.write_text("#!/bin/sh\n" + script)
            program.chmod(0o755)
        return subprocess.run(
            ["/usr/bin/python3", sources.ROOT / "scripts/fuzz.py", tmp_path, "--seconds", "1", "--patience",
             str(patience), "--junitxml", tmp_path / "fuzz.junit.xml"],
            capture_output=True, text=True, timeout=60, check=False,
        )

    return run


FOUND = r"""
i=0; while [ $i -lt 100 ]; do echo "#$i pulse"; i=$((i + 1)); done
echo '../fuzz/fuzz-bad.c:7: broken: r == 0'
echo '==1== ERROR: libFuzzer: deadly signal'
printf 'MS: 1 \001\377; base unit: 0000\n'
echo "artifact_prefix='x/'; Test unit written to x/crash-1"
echo 'Base64: AAECAw=='
exit 77
"""


def test_what_was_found_is_said_at_the_end(fuzz, tmp_path):
    done = fuzz(bad=FOUND, good="echo 'stat::number_of_executed_units: 12'\n")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "fuzz-good: found nothing in 12 runs" in lines
    assert lines[-1] == (
        "fuzz-bad: found something; ../fuzz/fuzz-bad.c:7: broken: r == 0; input: x/crash-1; in base64: AAECAw=="
    )
    assert "    #99 pulse" in lines and "    #50 pulse" not in lines  # no more than its end
    assert "#50 pulse" in (tmp_path / "fuzz-bad.log").read_text(encoding="latin-1")

    cases = {case.get("name"): case for case in ElementTree.parse(tmp_path / "fuzz.junit.xml").iter("testcase")}
    assert cases["fuzz-good"].find("failure") is None
    assert cases["fuzz-bad"].find("failure").get("message") == lines[-1][len("fuzz-bad: "):]


@pytest.mark.parametrize(
    "script, patience, reason",
    [
        ("exit 70\n", 30, "found an input that takes more than 10 s"),
        ("exit 71\n", 30, "found an input that takes too much memory"),
        ("exit 1\n", 30, "ended with status 1"),
        ("kill -9 $$\n", 30, "ended with status -9"),
        ("exec sleep 600\n", 0, "did not end in time"),
    ],
)
def test_each_way_to_fail_has_its_reason(fuzz, script, patience, reason):
    done = fuzz(patience, bad=script)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"fuzz-bad: {reason}"


def test_nothing_is_said_of_what_found_nothing(fuzz):
    done = fuzz(good="echo 'stat::number_of_executed_units: 12'\n")
    assert done.returncode == 0
    assert done.stdout == "fuzz-good: found nothing in 12 runs\n"
